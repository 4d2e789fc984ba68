"""The court of COURT.md in Python, before Solidity: it computes one element of a trace from a few opened values."""
