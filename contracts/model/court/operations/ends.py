"""Where a trace meets what was signed: its tokens are the order's and the answer's, which ends where it may."""

from contracts.court.layout import Layout
from contracts.model.court.operations.base import Operation, Spot, element
from contracts.model.court.reading import Reader


def tokens(layout: Layout) -> list[Operation]:
    """The trace's tokens: the prompt's, and then the answer's."""

    def given(r: Reader, at: Spot) -> int:
        behind = at.column - r.text.prompt
        return r.at("prompt", (0,), 0, at.column) if behind < 0 else r.at("output", (0,), 0, behind)

    return [element("token", given)]


def answered(r: Reader, step: int) -> int:
    """The token of a step, as the trace has it; another kind of step holds it against what was committed."""
    return r.at("token", (0,), 0, r.text.prompt + step)


def endings(layout: Layout) -> list[Operation]:
    """No stop before the end of an answer; its end is a stop, or the limit."""

    def holds(r: Reader, at: Spot) -> bool:
        count, stops = r.text.output, r.terms.stops
        is_stop = answered(r, at.column) in stops
        if at.column < count - 1:
            return not is_stop
        return count == r.terms.limit or (is_stop and count < r.terms.limit)

    return [Operation("output:end", "output", holds)]
