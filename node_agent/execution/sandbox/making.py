"""Model files made from those of strangers: by the libraries that read them, in a confined process where there is one.

What is made there comes through the pipe, in blocks: a confined process writes no file.
"""

import io
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self, cast

from node_agent.execution.chat import published_chat
from node_agent.execution.model_files import CHAT, CONFIG, TOKENIZER, WEIGHTS
from node_agent.execution.sandbox.frames import BadFrame
from node_agent.execution.sandbox.messages import Build, Convert

_NAMES = (WEIGHTS, TOKENIZER, CONFIG, CHAT)
_BLOCK_BYTES = 1 << 20


def make(request: Convert | Build, folder: Path) -> None:
    """Writes a model's files into a folder. Raises UnsafeModelFormat, UnsupportedModel, and what the libraries do."""
    from node_agent.execution.exact.build import build
    from node_agent.execution.gguf_convert import convert
    from node_agent.execution.safetensors_import import import_safetensors

    match request:
        case Build(files=files):
            build(files, folder / WEIGHTS)
        case Convert(files=(gguf,)):
            convert(gguf, folder)
        case Convert(files=(weights, tokenizer, config, *more_weights)):
            import_safetensors(weights, tokenizer, config, folder, more_weights)
            chat = published_chat({path.name: path.read_bytes() for path in (*request.chat, config)})
            if chat is not None:
                (folder / CHAT).write_text(chat.model_dump_json())
        case _:
            raise ValueError(f"{request!r} names neither a GGUF file nor weights, tokenizer and configuration")


def piped_folder(say: Callable[[bytes], None]) -> Path:
    """Stands in for an empty folder: each block of a model's file written to it is sent through the pipe."""

    class Piped(PurePosixPath):
        def open(self, mode: str) -> IO[bytes]:
            return io.BufferedWriter(_Pipe(_NAMES.index(self.name), say), _BLOCK_BYTES)

        def write_bytes(self, data: bytes) -> None:
            with self.open("wb") as file:
                file.write(data)

        def write_text(self, text: str) -> None:
            self.write_bytes(text.encode())

    return cast(Path, Piped("made"))


class _Pipe(io.RawIOBase):
    def __init__(self, place: int, say: Callable[[bytes], None]) -> None:
        self._place, self._say = bytes([place]), say

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        block = bytes(memoryview(data)[:_BLOCK_BYTES])
        self._say(self._place + block)
        return len(block)


class BlocksToFiles:
    """Puts the blocks that a confined process says into a folder's files. `most_bytes`: of all of them.

    What this host cannot write is kept as `error`, and nothing more is written.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._left = folder, most_bytes
        self._stack, self._files = ExitStack(), dict[int, IO[bytes]]()
        self.error: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def take(self, block: bytes) -> None:
        """Appends a block to its file. Raises BadFrame for one of no such file, or too many of them."""
        place, self._left = block[0] if block else len(_NAMES), self._left - len(block)
        if place >= len(_NAMES) or self._left < 0:
            raise BadFrame("is a block of no file of a model" if self._left >= 0 else "is a block beyond all bounds")
        try:
            if self.error is None:
                self._open(place).write(memoryview(block)[1:])
        except OSError as error:
            self.error = error

    def _open(self, place: int) -> IO[bytes]:
        if place not in self._files:
            self._files[place] = self._stack.enter_context((self._folder / _NAMES[place]).open("wb"))
        return self._files[place]
