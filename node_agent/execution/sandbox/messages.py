"""What the frames between a confined process and the one that started it say. Each kind of frame has one type.

A payload is JSON with one spelling: exactly the bytes that its message is written as, so that no key comes twice and no
number is read in two ways. Numbers are finite; nothing is nested deeper than its type.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from contracts.protocol.errors import first_fault
from contracts.protocol.manifest import Manifest, Sha256, TokenizerFamily
from contracts.protocol.records import Bytes32, Uint32
from node_agent.execution import errors
from node_agent.execution.chat import ChatSettings
from node_agent.execution.engine import Check, Execution, Speed
from node_agent.execution.errors import ExecutionError, ExecutorFailed
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox.frames import BadFrame, Frame
from node_agent.execution.sandbox.words import in_print

_MOST_WORDS = 1000
_LONGEST_S = 4 * 3600.0

_ERRORS: Mapping[str, type[ExecutionError]] = {
    each.code: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, ExecutionError) and each is not ExecutorFailed
}


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it cannot be printed")
    return text


def _known(code: str) -> str:
    if code not in _ERRORS:
        raise ValueError("there is no such error")
    return code


Words = Annotated[str, Field(max_length=_MOST_WORDS), AfterValidator(_printable)]
"""Text that may go into a log."""


class Message(BaseModel):
    """Base. `kind`: of its frames. `within_s`: how long its answer may take, if not as long as any."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, ser_json_bytes="base64", val_json_bytes="base64"
    )

    kind: ClassVar[int]
    within_s: ClassVar[float | None] = None

    def frame(self, call: int) -> Frame:
        """As a frame."""
        return Frame(self.kind, call, self.model_dump_json().encode())

    @classmethod
    def read(cls, payload: bytes) -> Self:
        """From the payload of a frame. Raises BadFrame."""
        try:
            found = cls.model_validate_json(payload)
        except ValidationError as error:
            raise BadFrame(f"is no {cls.__name__}: {first_fault(error)}") from error
        if found.model_dump_json().encode() != payload:
            raise BadFrame(f"is a {cls.__name__} in another spelling")
        return found


class Confined(Message):
    """The process is confined. See `confinement.Layers`."""

    kind = 1
    landlock: int
    namespaces: Words


class Loaded(Message):
    """An engine is loaded, under the number `engine`. The rest is as of `engine.Engine`."""

    kind = 2
    engine: int
    name: Words
    version: Words
    check: Check
    concurrent: bool
    numeric_class: Sha256 | None
    speed: Speed | None


class Ran(Message):
    """What a run gave."""

    kind = 3
    execution: Execution


class Observed(Message):
    """An encoded observation (`contracts.protocol.native.observation`)."""

    kind = 4
    observation: bytes


class Tokens(Message):
    """The ids of a text."""

    kind = 6
    ids: tuple[Uint32, ...]


class Piece(Message):
    """A piece of a file that is being made, one of many; see `making`. Its payload is these bytes, not JSON."""

    kind = 7
    data: bytes

    def frame(self, call: int) -> Frame:
        return Frame(self.kind, call, self.data)

    @classmethod
    def read(cls, payload: bytes) -> Self:
        return cls(data=payload)


class Made(Message):
    """All blocks were said."""

    kind = 8


class Root(Message):
    """The root of a model (`exact.model_root`), and its sizes."""

    kind = 9
    root: Bytes32
    positions: Uint32
    vocab_size: Uint32


class Worded(Message):
    """A model's wording."""

    kind = 10
    tokenizer: TokenizerFamily
    before: tuple[Uint32, ...]
    after: tuple[Uint32, ...]
    stops: tuple[Uint32, ...]


class Failed(Message):
    """Why a request has no answer."""

    kind = 5
    code: Annotated[str, AfterValidator(_known)]
    message: Words
    way_out: Words
    values: dict[Words, Words]

    @classmethod
    def of(cls, error: ExecutionError) -> Self:
        """Of an error."""
        values = {name: in_print(repr(value)) for name, value in error.values.items()}
        return cls(code=error.code, message=in_print(error.message), way_out=in_print(error.way_out), values=values)

    def error(self) -> ExecutionError:
        """The error, in its own class; its values are the printed texts."""
        error = _ERRORS[self.code](self.message, way_out=self.way_out)
        error.values = dict(self.values)
        return error


class Confine(Message):
    """The first request, see `needs.Needs`: nothing else is answered before."""

    kind = 16
    models: tuple[Path, ...]
    torch: bool
    gpu: bool


class Load(Message):
    """Asks for an engine of a workload. `known`: how fast it was measured to be on this host."""

    kind = 17
    manifest: Manifest
    files: ModelFiles
    device: str
    known: Speed | None


class Run(Message):
    """Asks for `work` of a loaded engine. `claimed`: see `Engine.recheck`; empty to execute."""

    kind = 18
    engine: int
    work: Literal["execute", "recheck"]
    input: bytes
    params: dict[str, int]
    claimed: bytes = b""


class Observe(Message):
    """Asks what a loaded engine sees in an answer of another class."""

    kind = 19
    engine: int
    input: bytes
    params: dict[str, int]
    claimed: bytes


class Cut(Message):
    """Asks for a text in tokens, by a tokenizer.json with this digest."""

    kind, within_s = 20, 10.0
    tokenizer: Path
    sha256: Sha256
    text: str


class Convert(Message):
    """Asks for the files of a model, from a GGUF file, or from its published weights, tokenizer, configuration, and
    more weights where they lie in several files. `chat`: those of `chat.CHAT_FILES` that are published with it."""

    kind, within_s = 21, _LONGEST_S
    files: tuple[Path, ...]
    chat: tuple[Path, ...] = ()


class Word(Message):
    """Asks for a model's wording, by its tokenizer and, where it chats, by its chat.json (`wording`)."""

    kind, within_s = 24, 60.0
    tokenizer: Path
    sha256: Sha256
    chat: Path | None
    settings: ChatSettings


class Build(Message):
    """Asks for the file of the exact engine, from a model in fp32."""

    kind, within_s = 22, _LONGEST_S
    files: ModelFiles


class FindRoot(Message):
    """Asks for the root of a file of the exact engine. `work`: the kind of work whose engine has to read it, if any."""

    kind = 23
    weights: Path
    work: str | None = None


_ANSWERS = Confined, Loaded, Ran, Observed, Failed, Tokens, Piece, Made, Root, Worded
_REQUESTS = Confine, Load, Run, Observe, Cut, Convert, Build, FindRoot, Word
ANSWERS: dict[int, type[Message]] = {each.kind: each for each in _ANSWERS}
REQUESTS: dict[int, type[Message]] = {each.kind: each for each in _REQUESTS}
