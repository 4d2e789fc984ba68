"""Real traces of the native engine: every numeric class that this machine can be, honest and tampered with."""
