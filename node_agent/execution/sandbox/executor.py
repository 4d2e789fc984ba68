"""The confined process: reads requests from stdin, one line of JSON each, and answers each with one on stdout.

First {"id": number, "readable": [path, ...], "torch": bool}; what follows runs confined. Then {"id", "load": manifest,
"files": {...}, "device", "known": speed or null}, answered with {"id", "engine": number, "name", "version", "check",
"concurrent", "numeric_class", "speed": {...} or null}, and
{"id", "engine": number, "input": base64, "params": {...}, "claimed": base64 or null, "observe": bool}, answered with
{"id", "output": base64, "trace_hash": hex, "units": number, "trace": base64} or, to observe, {"id", "observation":
base64}; or any of them with {"id", "error": code, "message", "way_out", "values"}.

Orders of an engine that batches are answered together, each as soon as it is done: one that comes joins at the next
step. Whatever else is asked is done between two steps. One thread does it all. It ends with its stdin.
"""

import json
import os
import select
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node_agent.execution.engine import Batch, Batching, Execution, Speed
from node_agent.execution.errors import ExecutionError
from node_agent.execution.sandbox.confinement import confine
from node_agent.execution.sandbox.needs import Needs

Message = dict[str, Any]

_STDIN = 0


def main() -> None:
    """Runs until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer

    def say(number: int, said: Message) -> None:
        answers.write(json.dumps({"id": number, **said}) + "\n")

    server = _Server(say)
    for request in _requests(lambda: server.busy):
        if request is None:
            server.step()
        else:
            server.take(request)
        if not server.confined:
            return  # nothing is run


def _requests(busy: Callable[[], bool]) -> Iterator[Message | None]:
    """Requests as they come, until stdin ends; None whenever there is none and what is under way can go on."""
    rest = b""
    while True:
        if busy() and not select.select([_STDIN], [], [], 0)[0]:
            yield None
            continue
        piece = os.read(_STDIN, 1 << 16)
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line)


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

    @property
    def busy(self) -> bool:
        """Whether a step would bring something on."""
        return any(batch.busy for batch in self._batches.values())

    def take(self, request: Message) -> None:
        """Answers a request, or lets it join a batch."""
        try:
            said = self._serve(request) if self.confined else self._confine(request)
        except ExecutionError as error:
            said = _problem(error)
        if said is not None:
            self._say(request["id"], said)

    def step(self) -> None:
        """One step of every batch; answers what got done."""
        for batch in self._batches.values():
            for number, found in batch.step() if batch.busy else ():
                self._say(number, _problem(found) if isinstance(found, ExecutionError) else _answer(found))

    def _confine(self, request: Message) -> Message:
        if request["torch"]:
            _import_torch()
        # torch asks for folders to write to, and writes nothing that a job needs
        tempfile.tempdir = os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/"
        layers = confine(Needs(tuple(Path(each) for each in request["models"]), request["torch"], request["gpu"]))
        self.confined = True
        return {"landlock": layers.landlock, "namespaces": layers.namespaces}

    def _serve(self, request: Message) -> Message | None:
        if "load" in request:
            return self._load(request)
        number, input_bytes, params = request["engine"], b64decode(request["input"]), request["params"]
        if request["observe"]:
            seen = self._engines[number].observe(input_bytes, params, b64decode(request["claimed"]))
            return {"observation": b64encode(seen).decode()}
        if request["claimed"] is not None:
            return _answer(self._engines[number].recheck(input_bytes, params, b64decode(request["claimed"])))
        if number in self._batches:
            self._batches[number].join(request["id"], input_bytes, params)
            return None
        return _answer(self._engines[number].execute(input_bytes, params))

    def _load(self, request: Message) -> Message:
        from contracts.protocol.manifest import Manifest
        from node_agent.execution import kinds
        from node_agent.execution.model_files import ModelFiles

        said = request["files"]
        weights, tokenizer, config = (Path(said[name]) for name in ("weights", "tokenizer", "config"))
        files = ModelFiles(weights, tokenizer, config, said["weights_sha256"], said["tokenizer_sha256"])
        known = None if request["known"] is None else Speed(**request["known"])
        engine = kinds.load(files, Manifest.model_validate(request["load"]), request["device"], known)
        number = len(self._engines)
        self._engines.append(engine)
        if isinstance(engine, Batching):
            self._batches[number] = engine.new_batch()
        about: Message = {"name": engine.name, "version": engine.version, "check": engine.check}
        concurrent = number in self._batches
        speed = None if engine.speed is None else asdict(engine.speed)
        about |= {"concurrent": concurrent, "numeric_class": engine.numeric_class, "speed": speed}
        return {"engine": number, **about}


def _import_torch() -> None:
    """Before anything of a job is here: torch starts programs and writes files while it is imported.

    A CUDA build looks for its libraries by `ctypes.util.find_library`, which runs a linker on a temporary file
    (cuda-pathfinder, which torch imports through cuda-bindings). All that is left out once this process is confined.
    """
    import torch  # noqa: F401


def _answer(run: Execution) -> Message:
    return {
        "output": b64encode(run.output).decode(),
        "trace_hash": run.trace_hash.hex(),
        "units": run.units,
        "trace": b64encode(run.trace).decode(),
    }


def _problem(error: ExecutionError) -> Message:
    values = {name: repr(value) for name, value in error.values.items()}
    return {"error": error.code, "message": error.message, "way_out": error.way_out, "values": values}


if __name__ == "__main__":
    main()
