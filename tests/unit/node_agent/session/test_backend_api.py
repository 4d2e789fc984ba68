"""The HTTP client: bad answers become clear errors, only transport errors and 5xx are tried again."""

import threading

import httpx
import pytest

from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.records import Commitment
from contracts.protocol.wire import SubmitCommitment
from node_agent.app import meet, resolve_workload
from node_agent.errors import BackendRefused, BadAnswer, BadSetting, ForeignBackend, NoAnswer
from node_agent.session.backend_api import MAX_JSON_BYTES, BackendApi
from tests.unit.node_agent.session.session_world import World
from tests.world.node_fakes import fake_manifest, problem

SUBMISSION = SubmitCommitment(
    commitment=Commitment(
        order_id="0x" + "11" * 32,
        node="0x" + "22" * 20,
        output_root="0x" + "33" * 32,
        trace_commit="0x" + "44" * 32,
        units=1,
    ),
    signature="0x" + "55" * 65,
)


def api(answers: list[tuple[int, bytes] | Exception], seen: list[str], attempts: int = 3) -> BackendApi:
    """A client of a backend that gives these answers in turn."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        given = left.pop(0)
        if isinstance(given, Exception):
            raise given
        return httpx.Response(given[0], stream=httpx.ByteStream(given[1]))

    return BackendApi("http://b/", attempts=attempts, pause=lambda s: None, transport=httpx.MockTransport(answer))


ACKNOWLEDGED = (200, b'{"digest":"0x%s","new":true}' % (b"ab" * 32))


@pytest.mark.parametrize(
    "first", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), (500, b"oops"), problem(503, "busy", "wait")]
)
def test_transport_errors_and_5xx_are_tried_again(first: tuple[int, bytes] | Exception) -> None:
    """A commitment survives a backend that restarts."""
    seen: list[str] = []
    assert api([first, ACKNOWLEDGED], seen).submit(SUBMISSION).new
    assert len(seen) == 2


def test_gives_up_after_its_attempts() -> None:
    """A backend that is gone is an error that names the call, not an endless wait."""
    seen: list[str] = []
    with pytest.raises(NoAnswer, match="POST http://b/v1/operator/commitments"):
        api([httpx.ConnectError("refused")] * 3, seen).submit(SUBMISSION)
    assert len(seen) == 3


def test_refusal_is_not_tried_again() -> None:
    """A refusal carries the backend's own code and words."""
    seen: list[str] = []
    with pytest.raises(BackendRefused, match=r"409 lease_expired: nothing is owed") as caught:
        api([problem(409, "lease_expired", "nothing is owed")], seen).submit(SUBMISSION)
    assert (len(seen), caught.value.reason, caught.value.final) == (1, "lease_expired", True)


BAD_BODIES = {
    "not JSON": b"<html>",
    "empty": b"",
    "a field missing": b'{"new":true}',
    "a field too many": b'{"digest":"0x%s","new":true,"x":1}' % (b"ab" * 32),
    "wrong type": b'{"digest":"0x%s","new":"yes"}' % (b"ab" * 32),
    "upper-case hex": b'{"digest":"0x%s","new":true}' % (b"AB" * 32),
    "deeply nested": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe{}",
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies_are_named(name: str) -> None:
    """Whatever a body holds, the error says that it is the backend's answer that is wrong."""
    with pytest.raises(BadAnswer, match="acknowledgement breaks the protocol"):
        api([(200, BAD_BODIES[name])], []).submit(SUBMISSION)


def test_endless_body_is_given_up() -> None:
    """A body longer than any of the protocol's is not read to its end."""
    with pytest.raises(BadAnswer, match="more than"):
        api([(200, b" " * (MAX_JSON_BYTES + 1))], []).submit(SUBMISSION)


@pytest.mark.parametrize("status", [301, 307])
def test_redirects_are_not_followed(status: int) -> None:
    """A node speaks to the backend it was told, and to no other host. Covers: A49"""
    with pytest.raises(BadAnswer, match="redirects are not followed"):
        api([(status, b"")], []).submit(SUBMISSION)


def test_refusal_without_problem_details_is_named() -> None:
    """A proxy's page, or another server's, is told as what it is."""
    with pytest.raises(BackendRefused, match="is this the URL of a backend"):
        api([(404, b"<html>not here</html>")], []).network()


def test_blob_of_another_hash_is_refused() -> None:
    """Bytes are named by their hash, or, packed words, by their root."""
    words = pack([[1, 2]])
    assert api([(200, words)], []).blob(to_hex(packed_root(words)), 100) == words
    for name in (keccak(b"bytes"), packed_root(pack([[2, 1]]))):
        with pytest.raises(BadAnswer, match="is another"):
            api([(200, words)], []).blob(to_hex(name), 100)


def test_manifest_must_hash_to_its_id() -> None:
    """A workload is named by what its manifest says: another one under its id is refused."""
    manifest = fake_manifest()
    assert api([(200, manifest.canonical())], []).manifest(manifest.workload_id()) == manifest
    with pytest.raises(BadAnswer, match="is of the workload"):
        api([(200, fake_manifest("other").canonical())], []).manifest(manifest.workload_id())
    pretty = manifest.model_dump_json(indent=1).encode()
    assert api([(200, pretty)], []).manifest(manifest.workload_id()) == manifest


def test_workload_that_is_neither_id_nor_file() -> None:
    """A mistyped --workload says what it must be."""
    with pytest.raises(BadSetting, match="no workload id and no manifest"):
        resolve_workload("no/such/file.json", api([], []))


def test_foreign_backend_is_refused(world: World) -> None:
    """A node does not start for a backend of other contracts or constants than its deployment file's."""
    stop = threading.Event()
    assert meet(world.api, world.deployment, 0.01, stop)
    other = world.deployment.model_copy(update={"court": "0x" + "99" * 20})
    with pytest.raises(ForeignBackend, match="court"):
        meet(world.api, other, 0.01, stop)
