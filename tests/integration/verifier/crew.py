"""Verifiers at work on a test network, and an inbox over HTTP in a backend's place."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from contracts.protocol.wire import Acknowledgement, SubmitVerdict
from contracts.record.history import History, read_history
from contracts.record.log_source import FolderLog
from tests.integration.verifier.network import Network
from tests.world.waiting import PATIENCE_S
from verifier.app import Verifier
from verifier.reexecution import Engines
from verifier.verdicts.journal import VerifierJournal
from verifier.verdicts.publisher import Publisher


class Inbox:
    """What was posted to /v1/verifier/verdicts, and the blobs that were put before, by their names."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[SubmitVerdict] = []
        self.blobs: dict[str, bytes] = {}

    def take(self, body: bytes) -> bytes:
        submitted = SubmitVerdict.model_validate_json(body)
        new = submitted not in self.received
        self.received += [submitted] if new else []
        return Acknowledgement(digest=submitted.verdict.commitment_digest, new=new).model_dump_json().encode()


@contextmanager
def inbox() -> Iterator[Inbox]:
    """An inbox on a free port."""
    box = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = box.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def do_PUT(self) -> None:
            box.blobs[self.path.rsplit("/", 1)[1]] = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(201)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    box.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Crew:
    """One verifier a key of the network; each with an engine of its own."""

    def __init__(self, network: Network, home: Path, box: Inbox, engines: Sequence[Engines]) -> None:
        self.network, self._home, self.box, self.engines = network, home, box, engines
        self._journals: dict[int, VerifierJournal] = {}
        self._now_s = 0  # the chain's time at the last turn: nobody's next try waits for a clock on the wall
        self.members = {index: self._start(index) for index in range(len(engines))}

    def _start(self, index: int) -> Verifier:
        network = self.network
        self._journals[index] = VerifierJournal(self._home / f"{index}.sqlite")
        return Verifier(
            chain=network.chain,
            sender=network.sender(network.verifiers[index]),
            source=FolderLog(network.folder),
            publisher=Publisher(self.box.url),
            journal=self._journals[index],
            engines=self.engines[index],
            clock=lambda: self._now_s,
        )

    def journal(self, index: int) -> VerifierJournal:
        """What a verifier has on disk."""
        return self._journals[index]

    def stop(self, index: int) -> None:
        """Takes a verifier away with all that it has in memory."""
        self.members.pop(index)
        self._journals.pop(index).close()

    def restart(self, index: int) -> None:
        """A new process over what the old one had on disk."""
        self.stop(index)
        self.members[index] = self._start(index)

    def history(self) -> History:
        return read_history(self.network.chain, self.network.chain.head().number)

    def work_until(self, done: Callable[[History], bool], *, turns: int = 80) -> History:
        """Turns of all verifiers, a second of chain time each, until the chain shows what is waited for.

        The chain's clock stands while somebody computes, for PATIENCE_S at most: how fast this machine is just now
        makes nobody late.
        """
        for _ in range(turns):
            self._now_s = self.network.chain.head().timestamp
            for member in self.members.values():
                member.step()
            history = self.history()
            if done(history):
                return history
            until = time.monotonic() + PATIENCE_S
            while any(member.computing for member in self.members.values()) and time.monotonic() < until:
                time.sleep(0.02)
            self.network.wait(1)
        raise AssertionError("not reached; cases: " + str([c.said for c in history.cases.values()]))

    def close(self) -> None:
        for index in list(self.members):
            self.stop(index)
