"""What is public: the chain's past and the published log. Nobody's own memory.

Every party reads both through this package, so a row that one finds sampled is sampled for all. Golden vectors pin it:
`contracts/vectors/log_lines.json` and `stories.json`. Money is left out on purpose: `contracts/model`,
`backend/domain/ledger.py` and `verifier/audit/replay.py` fold it three times, and each catches the others' mistakes.
"""
