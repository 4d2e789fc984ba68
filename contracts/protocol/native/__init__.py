"""Comparator `native` (2): checks a node's float work from another numeric class. Integers only, no engine.

Hosts of one class compute equal bits, and `typed_data.agrees` compares a re-execution with a commitment. Hosts of
different classes do not. Then the verifier reads prompt and answer in one pass, and two things are compared: the
**fingerprint** of the activations (`fingerprint.py`), which shows that the model was run, and the **seeded-token
margin**, which shows that the answer came from it. The node commits to its fingerprint before the sample is known and
shows it only after the check period (`contracts.protocol.trace`), when the verifier's observation is public
(`observation.py`). So neither can copy the other's. A node that generates with a cheap model and runs the right one
once for its activations has good fingerprints and bad margins.

The steps of a check, each a pure function of what was opened:

    check = examine(weights_sha256, verifier, trace, observation, units)               check.py
    evidence = compare(node_fingerprint, own_fingerprint, margins_milli, ended=...)    evidence.py
    thresholds = calibrate(evidence of honest texts, Pair(...))                        thresholds.py
    judgement = judge(evidence, thresholds)        accept | inconclusive | suspect     verdict.py
    standing = standing([Check(verifier, evidence, thresholds), ...])                  standing.py
                                                   clear | watch | withheld, never slashed

`sequential_test.py` is behind the last two: at most 1e-4 false alarms per job for `suspect`, and 1e-6 in a node's whole
life for `withheld`, as long as the thresholds' bounds of the mean hold. VERSION names the arithmetic; auditors
recompute every verdict bit for bit. `node_agent.execution.native.engine` makes fingerprints and margins.
"""

from contracts.protocol.native.check import Check, examine
from contracts.protocol.native.evidence import Evidence, compare
from contracts.protocol.native.sequential_test import UNIT, Capital, job_course
from contracts.protocol.native.standing import CLEAR, WITHHELD_AT, Standing, State, standing
from contracts.protocol.native.thresholds import VERSION, Pair, Score, Thresholds, calibrate
from contracts.protocol.native.verdict import SUSPECT_AT, Finding, Judgement, judge

__all__ = [
    "CLEAR", "SUSPECT_AT", "UNIT", "VERSION", "WITHHELD_AT", "Capital", "Check", "Evidence", "Finding", "Judgement",
    "Pair", "Score", "Standing", "State", "Thresholds", "calibrate", "compare", "examine", "job_course", "judge",
    "standing",
]  # fmt: skip
