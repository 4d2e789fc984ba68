"""What this host computes with: a probe, its numeric class, and the self-test it must pass before it may sign."""
