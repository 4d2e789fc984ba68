"""The confined process: reads requests from stdin and answers each on stdout (`messages`).

The first is Confine; what follows runs confined. Orders of an engine that batches are answered together, each as soon
as it is done: one that comes joins at the next step. Whatever else is asked is done between two steps. One thread does
it all. It ends with its stdin.
"""

import os
import select
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from contracts.protocol.errors import WrongTokenizer
from node_agent.execution.engine import Batch, Batching
from node_agent.execution.errors import ExecutionError, UnsafeModelFormat, UnsupportedModel
from node_agent.execution.sandbox.confinement import confine
from node_agent.execution.sandbox.frames import Cutter, Frame
from node_agent.execution.sandbox.making import make, piped_folder
from node_agent.execution.sandbox.messages import (
    REQUESTS,
    Build,
    Confine,
    Confined,
    Convert,
    Cut,
    Failed,
    FindRoot,
    Load,
    Loaded,
    Made,
    Message,
    Observe,
    Observed,
    Piece,
    Ran,
    Root,
    Run,
    Tokens,
    Word,
    Worded,
)
from node_agent.execution.sandbox.needs import Needs

_STDIN = 0


def main() -> None:
    """Runs until stdin ends."""
    stdout = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    server = _Server(partial(_say, stdout))
    for frame in _frames(lambda: server.busy):
        if frame is None:
            server.step()
        else:
            server.take(frame.call, REQUESTS[frame.kind].read(frame.payload))
        if not server.confined:
            return  # nothing is run


def _frames(busy: Callable[[], bool]) -> Iterator[Frame | None]:
    """Requests as they come, until stdin ends; None whenever there is none and what is under way can go on."""
    cutter = Cutter(REQUESTS)
    while True:
        if busy() and not select.select([_STDIN], [], [], 0)[0]:
            yield None
            continue
        piece = os.read(_STDIN, 1 << 16)
        if not piece:
            return
        yield from cutter.cut(piece)


def _say(stdout: int, call: int, said: Message) -> None:
    data = memoryview(bytes(said.frame(call)))
    while data:
        data = data[os.write(stdout, data) :]


class _Server:
    """Answers requests; several may be under way. `confined`: whether it runs anything.

    Args:
        say: sends an answer, by its request's id.
    """

    def __init__(self, say: Callable[[int, Message], None]) -> None:
        self.confined = False
        self._say = say
        self._engines: list[Any] = []
        self._batches: dict[int, Batch] = {}
        self._tokenizers: dict[str, Any] = {}

    @property
    def busy(self) -> bool:
        """Whether a step has work to do."""
        return any(batch.busy for batch in self._batches.values())

    def take(self, call: int, request: Message) -> None:
        """Answers a request, or lets it join a batch."""
        try:
            said = self._confine(request) if isinstance(request, Confine) else self._serve(call, request)
        except ExecutionError as error:
            said = Failed.of(error)
        if said is not None:
            self._say(call, said)

    def step(self) -> None:
        """One step of every batch; answers what got done."""
        for batch in self._batches.values():
            for call, found in batch.step() if batch.busy else ():
                self._say(call, Failed.of(found) if isinstance(found, ExecutionError) else Ran(execution=found))

    def _confine(self, request: Confine) -> Confined:
        if request.torch:
            _import_torch()
        # torch asks for folders to write to, and writes nothing that a job needs
        tempfile.tempdir = os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/"
        layers = confine(Needs(request.models, request.torch, request.gpu))
        self.confined = True
        return Confined(landlock=layers.landlock, namespaces=layers.namespaces)

    def _serve(self, call: int, request: Message) -> Message | None:
        assert self.confined
        match request:
            case Load():
                return self._load(request)
            case Cut():
                return self._cut(request)
            case Convert() | Build():
                with _refusing():
                    make(request, piped_folder(lambda data: self._say(call, Piece(data=data))))
                return Made()
            case FindRoot():
                with _refusing():
                    return _root_of(request)
            case Word():
                with _refusing():
                    return _worded(request)
            case Observe(engine=engine, input=prompts, params=params, claimed=claimed):
                return Observed(observation=self._engines[engine].observe(prompts, params, claimed))
            case Run(engine=engine, work="recheck", input=prompts, params=params, claimed=claimed):
                return Ran(execution=self._engines[engine].recheck(prompts, params, claimed))
            case Run(engine=engine, input=prompts, params=params) if engine in self._batches:
                self._batches[engine].join(call, prompts, params)
                return None
            case Run(engine=engine, input=prompts, params=params):
                return Ran(execution=self._engines[engine].execute(prompts, params))
        raise AssertionError(f"{request!r} is no request")

    def _cut(self, request: Cut) -> Tokens:
        from contracts.protocol.tokens import TextTokenizer

        if request.sha256 not in self._tokenizers:
            try:
                self._tokenizers[request.sha256] = TextTokenizer(request.tokenizer.read_bytes(), request.sha256)
            except WrongTokenizer as error:
                raise UnsupportedModel(str(error)) from error
        return Tokens(ids=tuple(self._tokenizers[request.sha256].encode(request.text)))

    def _load(self, request: Load) -> Loaded:
        from node_agent.execution import kinds

        with _refusing():
            engine = kinds.load(request.files, request.manifest, request.device, request.known)
        number = len(self._engines)
        self._engines.append(engine)
        if isinstance(engine, Batching):
            self._batches[number] = engine.new_batch()
        about = {name: getattr(engine, name) for name in ("name", "version", "check", "numeric_class", "speed")}
        return Loaded(engine=number, concurrent=number in self._batches, **about)


def _root_of(request: FindRoot) -> Root:
    from node_agent.execution import kinds
    from node_agent.execution.exact.engine import ExactEngine
    from node_agent.execution.exact.model_root import derived, read

    model = read(request.weights)
    if request.work is not None:
        engine = kinds.find(request.work).engine
        assert isinstance(engine, type)
        assert issubclass(engine, ExactEngine), "others have no root"
        model = engine.read(request.weights)
    return Root(root=derived(model), positions=model.config.positions, vocab_size=model.config.vocab_size)


def _worded(request: Word) -> Worded:
    from node_agent.execution.chat import Chat
    from node_agent.execution.wording import ChatTokenizer, chat_wording, frame

    words = ChatTokenizer(request.tokenizer.read_bytes(), request.sha256)
    if request.chat is None:
        found = frame(words)
    else:
        chat = Chat.model_validate_json(request.chat.read_bytes())
        found = chat_wording(words, chat, request.settings)
    return Worded(**vars(found))


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever a library raises over a file is a refusal of the file, and told in this process's log."""
    try:
        yield
    except ExecutionError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise UnsafeModelFormat(
            f"The model cannot be read: {type(error).__name__}: {error}.",
            way_out="Get its own files again, all.",
        ) from error


def _import_torch() -> None:
    """Before anything of a job is here: torch starts programs and writes files while it is imported.

    A CUDA build looks for its libraries by `ctypes.util.find_library`, which runs a linker on a temporary file
    (cuda-pathfinder, which torch imports through cuda-bindings). All that is left out once this process is confined.
    """
    import torch  # noqa: F401


if __name__ == "__main__":
    main()
