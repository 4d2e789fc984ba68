"""Verifies one payment's receipt with an RPC endpoint alone: no backend, no log, no trust in who handed it over."""
