"""The court's core: from a few opened values the chain computes one element of a trace, and says whether it is right.

COURT.md in Python, before Solidity. Knows the agreement's arithmetic and formats, and imports nothing of any engine.
"""
