"""The agreement in Python: what people sign, and how it is packed, hashed and sampled (contracts/SPEC.md).

Pure: no I/O, no clock, no chain. Imports nothing else from this project; everything else may import it.
"""
