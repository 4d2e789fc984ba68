"""BERT encoders by the exact engine: SPEC_ENCODER.md."""
