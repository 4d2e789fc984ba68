"""The public record: the chain's past and the published log, and nothing that only one party knows.

Every party reads both through this package, so all agree on which rows are sampled. Golden vectors pin it:
`contracts/vectors/log_lines.json` and `stories.json`. Money is left out on purpose: `contracts/model`,
`backend/domain/ledger.py` and `verifier/audit/replay.py` each compute it, and catch each other's mistakes.
"""
