"""One twin for each operation of SPEC.md and SPEC_ENCODER.md: what it reads, and whether what was written follows."""
