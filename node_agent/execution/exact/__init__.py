"""The exact engine: a Llama in integer arithmetic, the same bits on every host. `SPEC.md` specifies it."""
