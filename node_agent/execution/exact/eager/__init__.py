"""The exact engine in eager torch: for GPUs, and as a second implementation that the kernels are tested against."""
