"""Verifies one payment's receipt with an RPC endpoint alone, without backend, log, or trust in its sender."""
