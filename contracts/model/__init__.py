"""A model of the contracts in plain Python, written from SPEC.md: dictionaries of integers, no chain.

One module per contract. Each function takes its caller first, checks in the order of the specification, and either
succeeds or raises `Refused` with the error's name and values. `tests/differential` makes the same calls to this model
and to the compiled contracts and compares everything visible.

On purpose it shares no code about money with `backend/domain/ledger.py` and `verifier/audit/replay.py`: three
independent implementations catch each other's mistakes.
"""
