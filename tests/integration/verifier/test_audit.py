"""The audit on a real chain with really signed records: what is right passes, what is bent is named."""

import json
from dataclasses import replace

from typer.testing import CliRunner

from contracts.onchain.chain import Chain, connect
from contracts.onchain.discovery import deployment_of
from contracts.onchain.structs import leaf_proof
from contracts.protocol.log import parse_line
from contracts.record.history import read_history
from contracts.record.log_book import EpochLog, LogBook
from contracts.record.log_source import FolderLog
from tests.integration.verifier.network import Network, moved_row
from tests.world.anvil import remembering
from tests.world.soak import short_or_long
from verifier.audit.audit import audit
from verifier.audit.cli import audit_app
from verifier.audit.report import AuditReport


def run_audit(network: Network) -> AuditReport:
    return audit(network.chain, FolderLog(network.folder))


def read_log(network: Network, epoch_id: int) -> EpochLog:
    """An epoch's log as records."""
    return LogBook(network.domain).add(epoch_id, [parse_line(line) for line in network.closed[epoch_id].lines])


def honest_epochs(network: Network) -> None:
    """Two jobs, then their checks with a third job, then its check; the first two epochs settled."""
    first = network.post([network.job("one"), network.job("two")])
    verdicts = [network.verdict(1, job, index) for index, job in enumerate(first.jobs)]
    second = network.post([network.job("three")], verdicts)
    network.wait(41)
    network.settle(1)
    network.post([], [network.verdict(2, second.jobs[0], 2)])
    network.wait(41)
    network.post([])
    network.settle(2)


def test_honest_epochs_audit_ok(network: Network) -> None:
    """Everything that honest parties did is explained to the last wei, from chain and log alone."""
    honest_epochs(network)
    report = run_audit(network)
    assert report.faults == []
    assert report.ok
    assert report.unexplained_wei == 0
    assert report.payments_recomputed == 5
    assert report.rows_sampled == 3


def test_deployment_is_read_from_the_escrow_alone(network: Network) -> None:
    """An auditor needs an address, no file: every address and constant comes from the contracts."""
    found = deployment_of(connect(network.rpc_url), network.deployment.escrow)
    same = {"first_block": found.first_block, "founding": None}
    assert found == network.deployment.model_copy(update=same)
    assert found.first_block >= network.deployment.first_block


class AlteredChain(Chain):
    """A chain whose endpoint lies about one epoch's calldata."""

    altered: tuple[bytes, bytes]

    def packed_epoch(self, settle_tx_hash: bytes) -> bytes:
        packed = super().packed_epoch(settle_tx_hash)
        return self.altered[1] if packed == self.altered[0] else packed


def flip(data: bytes, position: int) -> bytes:
    """One bit of one byte changed; keeps hex hex and digits digits where it can, so that lines stay readable."""
    byte = data[position]
    other = {ord("0"): ord("1"), ord("a"): ord("b")}.get(byte, byte ^ 1)
    return data[:position] + bytes([other]) + data[position + 1 :]


def row_of(line: bytes, lines: list[bytes]) -> int | None:
    """The job row that a line of the first epoch's log explains: three lines a job, after the manifest."""
    number = lines.index(line)
    kind = json.loads(line)["kind"]
    if kind == "row":
        return int(json.loads(line)["index"])
    return None if kind == "workload" else (number - 1) // 3


def test_any_byte_flipped_in_the_log_is_named(network: Network) -> None:
    """A log that was tampered with names its epoch, and the row that lost its explanation. Covers: A46, A26"""
    honest_epochs(network)
    for epoch_id in (1, 2):
        lines = network.closed[epoch_id].lines
        path = network.folder / "epochs" / f"{epoch_id}.jsonl"
        for number, line in enumerate(lines):
            places = (len(line) // 3, 2 * len(line) // 3, len(line) - 12)
            for position in short_or_long(places[number % 3 :][:1], places):
                bent = [*lines[:number], flip(line, position), *lines[number + 1 :]]
                path.write_bytes(b"".join(each + b"\n" for each in bent))
                report = run_audit(network)
                assert not report.ok
                first = report.first_fault
                assert first is not None
                assert first.row is not None, str(first)
                assert any(f.epoch_id == epoch_id and "logRoot" in f.rule for f in report.faults)
                if epoch_id == 1:
                    wanted = row_of(line, lines)
                    assert first.epoch_id == 1
                    assert first.row == (0 if wanted is None else wanted), (line, position, str(first))
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert run_audit(network).ok


def test_any_byte_flipped_in_the_calldata_is_named(network: Network) -> None:
    """Calldata that differs from what settled is named with its epoch. Covers: A46"""
    honest_epochs(network)
    chain = AlteredChain(remembering(network.rpc_url), network.deployment)
    for epoch_id, settled in read_history(network.chain, network.chain.head().number).settled.items():
        true = network.chain.packed_epoch(settled.tx_hash)
        for position in range(0, len(true), short_or_long(9, 1)):
            chain.altered = true, flip(true, position)
            first = audit(chain, FolderLog(network.folder)).first_fault
            assert first is not None, position
            assert first.epoch_id == epoch_id, position


def test_a_missing_log_is_named_and_the_rest_is_still_recomputed(network: Network) -> None:
    """A withheld log is a gap with a name; payments are rebuilt from the calldata without it. Covers: A26"""
    honest_epochs(network)
    (network.folder / "epochs" / "2.jsonl").unlink()
    report = run_audit(network)
    assert any(f.epoch_id == 2 and f.rule == "the epoch's log can be read" for f in report.faults)
    assert report.payments_recomputed == 5
    assert report.unexplained_wei == 0


def faults_of(network: Network, epoch_id: int, row: int) -> list[str]:
    """The rules broken by a row."""
    return [fault.rule for fault in run_audit(network).faults if (fault.epoch_id, fault.row) == (epoch_id, row)]


def test_an_amount_above_the_price_is_named(network: Network) -> None:
    """A settler that charges more than price times units is named. Covers: A25"""
    job = network.job("one")
    network.post([network.job("zero"), moved_row(job, amount_units=job.row.amount_units + 1)])
    report = run_audit(network)
    assert report.first_fault is not None
    assert (report.first_fault.epoch_id, report.first_fault.row) == (1, 1)
    assert faults_of(network, 1, 1) == ["the amount is the order's price of the units"]


def test_an_order_in_two_leaves_is_named(network: Network) -> None:
    """The second leaf of one order is named, in whatever epoch it stands. Covers: A16"""
    job = network.job("one")
    network.post([job])
    network.post([job])
    assert faults_of(network, 2, 0) == ["no node is paid twice for one order"]


def test_another_operator_in_the_row_is_named(network: Network) -> None:
    """Work of one operator credited to another is named."""
    job = network.job("one")
    network.post([moved_row(job, operator_id=network.verifier_ids[0])])
    node = network.keys["node"].address
    assert faults_of(network, 1, 0) == [f"node {node} belongs to the row's operator"]


def test_a_row_that_nobody_ordered_is_named(network: Network) -> None:
    """A leaf without commitment and order is named."""
    job = network.job("one")
    network.post([moved_row(job, digest=b"\1" * 32)])
    assert faults_of(network, 1, 0) == ["the log holds the row's commitment"]


def test_a_void_row_without_a_case_is_named(network: Network) -> None:
    """A node that is not paid although nothing was ruled against it is named as such."""
    epoch = network.post([network.job("one"), network.job("two")])
    network.post([], [network.verdict(1, job) for job in epoch.jobs])
    network.wait(41)
    network.settle(1, frozenset({1}))
    rule = "a row is VOID iff a case on it was ruled guilty before settlement"
    assert faults_of(network, 1, 1) == [rule]


def test_a_sampled_row_that_nobody_checked_is_named(network: Network) -> None:
    """The least check rate is a promise: a row that it selects and nobody checked is named."""
    network.post([network.job("one")])
    network.post([])
    network.wait(41)
    assert run_audit(network).ok, "the last verdicts may still come with the next log"
    network.wait(61)
    assert faults_of(network, 1, 0) == ["the sampled row has a verdict or a case"]


def test_a_check_paid_twice_is_named(network: Network) -> None:
    """Two verdicts on one row are one payment."""
    epoch = network.post([network.job("one")])
    network.post([], [network.verdict(1, epoch.jobs[0], 0), network.verdict(1, epoch.jobs[0], 1)])
    assert faults_of(network, 2, 1) == ["a check is paid once"]


def test_a_donation_is_shown_apart(network: Network) -> None:
    """Tokens sent to the contracts without their doing are a donation, not an unexplained surplus. Covers: A36"""
    transfer = network.chain.token.functions.transfer(network.chain.escrow.address, 5)
    network.call(network.keys["deployer"], transfer)
    report = run_audit(network)
    assert (report.ok, report.donated_wei, report.unexplained_wei) == (True, 5, 0)


def test_a_skipped_lane_and_its_leaves_paid_alone_are_recomputed(network: Network) -> None:
    """A lane without a proven cap is skipped whole, its leaves paid one by one; the books follow."""
    epoch = network.post([network.job("one"), network.job("two")])
    network.post([], [network.verdict(1, job) for job in epoch.jobs])
    network.wait(41)
    proven = epoch.groups
    epoch.groups = (replace(proven[0], proof=None),)
    network.settle(1)
    report = run_audit(network)
    assert report.faults == []
    assert (report.skipped_rows, report.payments_recomputed) == (2, 0)
    log = read_log(network, 1)
    outcomes = (b"\0", b"\3")
    cap = proven[0].proof
    assert cap is not None
    settle = network.chain.escrow.functions.settleOne(
        leaf_proof(log.epoch_id, 1, log.leaves), outcomes, (cap.cap, cap.terms_hash, cap.r, cap.vs)
    )
    network.call(network.keys["stranger"], settle)
    report = run_audit(network)
    assert report.faults == []
    assert report.payments_recomputed == 1


def test_the_command_says_ok_or_names_the_fault(network: Network) -> None:
    """`assay audit` needs three words, says OK with 0, and exits 1 with the fault's place and both values."""
    honest_epochs(network)
    arguments = ["--rpc", network.rpc_url, "--escrow", network.deployment.escrow, "--log", str(network.folder)]
    good = CliRunner().invoke(audit_app, arguments)
    assert good.exit_code == 0, good.output
    assert "audit: OK" in good.output
    path = network.folder / "epochs" / "1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"units":', b'"units":1', 1))
    bad = CliRunner().invoke(audit_app, [*arguments, "--json", "-"])
    assert bad.exit_code == 1
    report = AuditReport.model_validate_json(bad.stdout)
    assert report.first_fault is not None
    assert report.first_fault.where == "epoch 1 row 0"
