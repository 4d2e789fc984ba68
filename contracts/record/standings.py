"""The standing of operators on native workloads at each epoch, from the published log alone.

A check counts from the epoch whose log has its job's trace; observations were published before. So the same log gives
everybody the same standing, bit for bit.
"""

from contextlib import suppress

from contracts.protocol.errors import BadFingerprint
from contracts.protocol.native import Check, Standing, examine, standing
from contracts.record.facts import Facts, ShownTrace
from contracts.record.log_source import require_trace


class Standings:
    """Reads each epoch's log once, in order, and remembers each standing."""

    def __init__(self) -> None:
        self._checks: dict[int, list[tuple[int, Check]]] = {}
        self._read_until = 0
        self._known: dict[tuple[int, int], Standing] = {}

    def at(self, facts: Facts, operator_id: int, epoch_id: int) -> Standing:
        """An operator's standing by the logs of the epochs before `epoch_id`.

        Raises LogUnavailable, WrongLog, WrongFact if what the log names is missing or wrong.
        """
        for earlier in range(self._read_until + 1, epoch_id):
            self._read(facts, earlier)
        checks = [check for epoch, check in self._checks.get(operator_id, []) if epoch < epoch_id]
        key = operator_id, len(checks)
        if key not in self._known:
            self._known[key] = standing(checks)
        return self._known[key]

    def _read(self, facts: Facts, epoch_id: int) -> None:
        found = [(shown.operator_id, check) for shown in facts.shown_traces(epoch_id) for check in _of(facts, shown)]
        for operator, check in found:
            self._checks.setdefault(operator, []).append((epoch_id, check))
        self._read_until = epoch_id


def _of(facts: Facts, shown: ShownTrace) -> list[Check]:
    if not shown.observations:
        return []
    trace, units = require_trace(facts.blob(shown.trace), shown.commitment), shown.commitment.units
    checks = []
    for verifier, name in shown.observations:
        observation = facts.blob(name)
        with suppress(BadFingerprint):  # a malformed observation counts for nothing
            checks.append(examine(shown.weights_sha256, verifier, trace, observation, units))
    return checks
