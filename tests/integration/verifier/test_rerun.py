"""A settled job run again, on a real chain and a published log: the same bits are found, others are located."""

import json

import pytest
from typer.testing import CliRunner

from contracts.protocol.hashing import to_hex
from tests.integration.verifier.network import HashEngine, Network, Ordered
from verifier.errors import JobUnknown, LogUnavailable, WrongLog
from verifier.receipts.cli import verify_app
from verifier.reexecution.rerun import find_settled, first_difference, rerun
from verifier.sampling.source import FolderLog


def order_id_of(job: Ordered) -> str:
    return job.commitment.commitment.order_id


@pytest.mark.chain
def test_any_settled_job_runs_again(network: Network) -> None:
    """With the chain, the log and the model, and nothing else, anybody sees whether a job was what was paid for."""
    honest, lied = network.job("one"), network.job("two", engine=HashEngine(b"cheap"))
    network.post([honest, lied])
    source = FolderLog(network.folder)
    found = find_settled(network.chain, source, [order_id_of(lied), order_id_of(honest)])
    no, yes = (rerun(job, source, HashEngine()) for job in found)
    assert (yes.same, yes.differs_in, yes.first_difference) == (True, [], None)
    assert yes.trace_commit == yes.signed_trace_commit == honest.commitment.commitment.trace_commit
    assert (no.same, no.differs_in) == (False, ["trace", "output"])
    assert no.trace_commit != no.signed_trace_commit
    assert no.first_difference is not None
    assert find_settled(network.chain, source, ["latest"]) == found[:1]


@pytest.mark.chain
def test_what_cannot_be_run_again_is_named(network: Network) -> None:
    """An order that nobody was paid for, an input that is gone, an input that is another. Covers: A46"""
    job = network.job("one")
    network.post([job])
    source = FolderLog(network.folder)
    with pytest.raises(JobUnknown, match="0x1234"):
        find_settled(network.chain, source, ["0x1234"])
    (found,) = find_settled(network.chain, source, [order_id_of(job)])
    blob = network.folder / "blobs" / found.order.order.terms.input_hash
    blob.write_bytes(b'["two"]')
    with pytest.raises(WrongLog):
        rerun(found, source, HashEngine())
    blob.unlink()
    with pytest.raises(LogUnavailable):
        rerun(found, source, HashEngine())


@pytest.mark.parametrize(
    ("theirs", "where"),
    [
        ([{"text": "a b", "token_ids": [1, 2, 3]}], None),
        ([{"text": "a c", "token_ids": [1, 2, 4]}], "text 0, token 2"),
        ([{"text": "a", "token_ids": [1]}], "text 0, token 1"),
        ([{"text": "a x", "token_ids": [1, 2, 3]}], "text 0, text"),
        ([], "text 0"),
        ([{"text": "a b", "token_ids": [1, 2, 3]}, {}], "text 1"),
        ([[1, 2]], "text 0"),
    ],
)
def test_the_first_difference_is_located(theirs: object, where: str | None) -> None:
    """To the token: an auditor sees where a node's answer leaves the model's."""
    ours = json.dumps([{"text": "a b", "token_ids": [1, 2, 3]}]).encode()
    assert first_difference(json.dumps(theirs).encode(), ours) == where


def test_nothing_claimed_and_nonsense_are_told_apart() -> None:
    """An output that is not published differs nowhere; one that is no JSON does."""
    assert first_difference(b"", b"[1]") is None
    assert first_difference(b"\xff", b"[1]") == "the node's output is no JSON"
    assert first_difference(b"[1]", b"[2]") == "text 0"


def test_a_receipt_or_a_job_but_not_both() -> None:
    """The command says which."""
    for arguments in ([], ["--job", to_hex(bytes(32)), __file__]):
        said = CliRunner().invoke(verify_app, [*arguments, "--rpc", "http://127.0.0.1:1"])
        assert said.exit_code == 2
        assert "--job" in said.output
