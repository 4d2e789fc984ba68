"""The contracts a second time, in plain Python, written from SPEC.md: dictionaries of integers, no chain.

One module a contract. Each function takes its caller first, checks in the order of the specification, and either does
what it says or raises `Refused` with the name and the values of the error. `tests/differential` drives this model and
the compiled contracts with the same calls and compares everything that can be seen.

Its fold of money shares no code with `backend/domain/ledger.py` and `verifier/audit/replay.py` on purpose: three that
are written apart catch each other's mistakes.
"""
