"""Llamas by the exact engine: SPEC.md."""
