"""This host's devices, its numeric class, and the self-test that it must pass before it may sign."""
