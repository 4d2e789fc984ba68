"""SPEC.md's Llama in Triton: a few fused integer kernels for each layer, for GPUs."""
