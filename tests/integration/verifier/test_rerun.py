"""A settled job run again, on a real chain and a published log: the same bits are found, others are located."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from contracts.protocol.hashing import to_hex
from contracts.protocol.packed import pack
from contracts.protocol.trace import ShownText, decode_shown, encode_shown, trace_hash_of
from contracts.record.errors import LogUnavailable, WrongFact, WrongLog
from contracts.record.log_source import FolderLog
from node_agent.execution.engine import Execution
from tests.integration.verifier.network import HashEngine, Network, Ordered
from verifier.errors import JobUnknown
from verifier.receipts.cli import verify_app
from verifier.reexecution.rerun import find_settled, first_difference, rerun, trace_difference


class OddTrace(HashEngine):
    """Answers as it should, and traces something else."""

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        run = super().execute(input_bytes, params)
        trace = encode_shown(replace(text, nodes=[bytes(32)]) for text in decode_shown(run.trace) or [])
        return replace(run, trace_hash=trace_hash_of(trace), trace=trace)


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
def test_where_a_shown_trace_parts(network: Network) -> None:
    """A node that answered right and traced something else is found out, and where; nothing that it did not commit to
    is believed. Covers: A57"""
    honest, odd = network.job("one"), network.job("two", engine=OddTrace())
    network.post([honest, odd])
    network.post([], shown=[network.show(honest), network.show(odd)])
    source = FolderLog(network.folder)
    found = find_settled(network.chain, source, [order_id_of(honest), order_id_of(odd)])
    same, other = (rerun(job, source, HashEngine()) for job in found)
    assert (same.same, same.trace_difference) == (True, None)
    assert (other.differs_in, other.first_difference) == (["trace"], None)
    assert other.trace_difference == "text 0, tokens 0 to 3"


@pytest.mark.chain
def test_a_trace_that_was_not_committed_to_is_refused(network: Network) -> None:
    """Whoever publishes the log cannot put words into a node's mouth. Covers: A57"""
    job, another = network.job("one"), network.job("two")
    network.post([job, another])
    swapped = network.show(job).model_copy(update={"trace": network.show(another).trace})
    network.post([], shown=[swapped])
    source = FolderLog(network.folder)
    (found,) = find_settled(network.chain, source, [order_id_of(job)])
    with pytest.raises(WrongFact, match="the trace shown is the committed one"):
        rerun(found, source, HashEngine())


@pytest.mark.parametrize(
    ("chunk", "where"), [(0, "text 0, tokens 0 to 15"), (1, "text 0, tokens 16 to 19"), (2, "text 1, tokens 0 to 4")]
)
def test_the_first_node_is_named_by_its_tokens(chunk: int, where: str) -> None:
    """To sixteen tokens: an auditor sees where the computation left the model's, before the answer did."""
    output, nodes = pack([range(20), range(5)]), [bytes([index]) * 32 for index in range(3)]

    def shown() -> bytes:
        return encode_shown([ShownText(20, nodes[:2]), ShownText(5, nodes[2:])])

    mine = shown()
    nodes[chunk] = b"x" * 32
    run = Execution(output, trace_hash_of(mine), 25, mine)
    assert trace_difference(shown(), run) == where
    assert trace_difference(mine, run) is None
    assert trace_difference(b"", run) is None


@pytest.mark.chain
def test_what_cannot_be_run_again_is_named(network: Network) -> None:
    """An order that nobody was paid for, an input that is gone, an input that is another. Covers: A46"""
    job = network.job("one")
    network.post([job])
    source = FolderLog(network.folder)
    with pytest.raises(JobUnknown, match="0x1234"):
        find_settled(network.chain, source, ["0x1234"])
    (found,) = find_settled(network.chain, source, [order_id_of(job)])
    blob = network.folder / "blobs" / found.order.order.terms.prompt_root
    blob.write_bytes(pack([[1]]))
    with pytest.raises(WrongLog):
        rerun(found, source, HashEngine())
    blob.unlink()
    with pytest.raises(LogUnavailable):
        rerun(found, source, HashEngine())


@pytest.mark.parametrize(
    ("theirs", "where"),
    [
        ([[1, 2, 3]], None),
        ([[1, 2, 4]], "text 0, token 2"),
        ([[1]], "text 0, token 1"),
        ([[1, 2, 3, 4]], "text 0, token 3"),
        ([], "text 0"),
        ([[1, 2, 3], []], "text 1"),
        ([[], [1, 2, 3]], "text 0, token 0"),
    ],
)
def test_the_first_difference_is_located(theirs: list[list[int]], where: str | None) -> None:
    """To the token: an auditor sees where a node's answer leaves the model's."""
    assert first_difference(pack(theirs), pack([[1, 2, 3]])) == where


def test_nothing_claimed_and_nonsense_are_told_apart() -> None:
    """An output that is not published differs nowhere; one that is no packed words does; vectors hold numbers."""
    assert first_difference(b"", pack([[1]])) is None
    assert first_difference(b"\xff", pack([[1]])) == "the node's output is malformed"
    assert first_difference(pack([[-1]]), pack([[1]]), "number") == "text 0, number 0"


def test_a_receipt_or_a_job_but_not_both() -> None:
    """The command says which."""
    for arguments in ([], ["--job", to_hex(bytes(32)), __file__]):
        said = CliRunner().invoke(verify_app, [*arguments, "--rpc", "http://127.0.0.1:1"])
        assert said.exit_code == 2
        assert "--job" in said.output
