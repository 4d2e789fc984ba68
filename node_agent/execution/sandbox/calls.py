"""The calls that a confined process has not answered yet; each answer is checked against its call."""

from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import NamedTuple

from node_agent.execution.sandbox.frames import BadFrame, Cutter, Frame
from node_agent.execution.sandbox.messages import ANSWERS, Failed, Message, Piece


class _Call(NamedTuple):
    wanted: type[Message]
    take: Callable[[bytes], None] | None
    answer: "Future[Message]"


class Calls:
    """The calls that wait, by number. The process may answer them in any order."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Call] = {}
        self._numbers, self._cutter = count(), Cutter(ANSWERS)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_amid_answer(self) -> bool:
        """Whether an answer has begun and not ended."""
        return self._cutter.is_amid

    def number(self) -> int:
        """A number that no other call has."""
        return next(self._numbers)

    def add(self, number: int, wanted: type[Message], take: Callable[[bytes], None] | None = None) -> "Future[Message]":
        """A call that is to be answered with this type, or with a Failed. `take`: receives the blocks before that."""
        self._waiting[number] = call = _Call(wanted, take, Future())
        return call.answer

    def take(self, piece: bytes) -> int:
        """Gives each answer in a piece of the stream to the call that waits for it; returns how many there were.

        Raises BadFrame at the first frame that answers no call; unanswered calls go on waiting.
        """
        taken = 0
        for frame in self._cutter.cut(piece):
            self._hand_out(frame)
            taken += 1
        return taken

    def fail(self, error_of: Callable[[int], Exception]) -> None:
        """Ends all waiting calls with an error. `error_of`: receives how many there are."""
        waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            call.answer.set_exception(error_of(len(waiting)))

    def _hand_out(self, frame: Frame) -> None:
        call = self._waiting.get(frame.call)
        if call is None:
            raise BadFrame("answers what nobody asked")
        kind = ANSWERS[frame.kind]
        if kind is Piece and call.take is not None:
            call.take(frame.payload)
            return
        if kind not in (Failed, call.wanted):
            raise BadFrame(f"is a {kind.__name__} where a {call.wanted.__name__} is awaited")
        said = kind.read(frame.payload)
        del self._waiting[frame.call]
        call.answer.set_result(said)
