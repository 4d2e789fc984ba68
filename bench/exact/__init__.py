"""What the exact engine is worth: one hash in every setting, how near to fp32 it is, how fast, and what a check costs.

Parts: `exactness` (every setting in a process of its own), `quality`, `speed`. Each writes its raw results; `__main__`
gathers them.
"""
