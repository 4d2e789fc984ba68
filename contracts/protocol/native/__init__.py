"""Comparator `native` (2): what a node's float work looks like from another numeric class. Integers only, no engine.

Inside one class two hosts give equal bits, and `typed_data.agrees` holds a re-execution against a commitment.
Across classes they do not. Then the verifier reads prompt and answer in one pass of its own, and two things are
compared: the **fingerprint** of the activations (`fingerprint.py`), which shows that the model was run, and the
**seeded-token margin**, which shows that the answer came out of it. The node is bound to its fingerprint before the
sample is known, and shows it only when the check period is over (`contracts.protocol.trace`); what a verifier saw is
public by then (`observation.py`). So neither can copy from the other. Who generates with a cheap model and then runs
the right one once for its activations has good fingerprints and bad margins.

The way of a check, each step a pure function of what was opened:

    check = examine(weights_sha256, verifier, trace, observation, units)               check.py
    evidence = compare(node_fingerprint, own_fingerprint, margins_milli, ended=...)    evidence.py
    thresholds = calibrate(evidence of honest texts, Pair(...))                        thresholds.py
    judgement = judge(evidence, thresholds)        accept | inconclusive | suspect     verdict.py
    standing = standing([Check(verifier, evidence, thresholds), ...])                  standing.py
                                                   clear | watch | withheld, never slashed

`capital.py` is the sequential test behind the last two: false alarms at most 1e-4 a job for `suspect`, at most 1e-6 in
a node's whole life for `withheld`, as long as the thresholds' bounds of the mean hold. VERSION names the arithmetic; an
auditor recomputes every verdict bit for bit. Where node, verifier and margins come from:
`node_agent.execution.native.engine`.
"""

from contracts.protocol.native.check import Check, examine
from contracts.protocol.native.evidence import Evidence, compare
from contracts.protocol.native.sequential_test import UNIT, Capital, job_course
from contracts.protocol.native.standing import CLEAR, WITHHELD_AT, Standing, State, standing
from contracts.protocol.native.thresholds import VERSION, Pair, Score, Thresholds, calibrate
from contracts.protocol.native.verdict import SUSPECT_AT, Finding, Judgement, judge

__all__ = [
    "CLEAR",
    "SUSPECT_AT",
    "UNIT",
    "VERSION",
    "WITHHELD_AT",
    "Capital",
    "Check",
    "Evidence",
    "Finding",
    "Judgement",
    "Pair",
    "Score",
    "Standing",
    "State",
    "Thresholds",
    "calibrate",
    "compare",
    "examine",
    "job_course",
    "judge",
    "standing",
]
