"""The exact engine: a Llama in integer arithmetic, bit for bit the same on every host. `SPEC.md` is its specification."""
