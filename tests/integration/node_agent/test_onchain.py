"""The node on real contracts: joining, serving, receipts, claiming, settling alone. Only the backend is a fake."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from typer.testing import CliRunner

from contracts.onchain.chain import Chain
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.errors import AssayError
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, pack
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import terms_hash
from node_agent.app import NodeSettings, run_node, unix_time
from node_agent.cli import keys_app, node_app
from node_agent.errors import NotRegistered
from node_agent.home import JOURNAL
from node_agent.session.chain_facts import OnchainFacts, require_registered
from node_agent.session.earnings import read_account
from node_agent.session.journal import JournaledAnswer, NodeJournal
from node_agent.session.rooted import row_of
from tests.world.anvil import pass_time
from tests.world.founded import founded
from tests.world.founding import Plan
from tests.world.node_fakes import EchoEngine, FakeBackend, fake_manifest
from tests.world.parties import BEACON, key
from tests.world.waiting import PATIENCE_S, eventually

PASSWORD = "a password of this test"
SHORT = DEVELOPMENT.model_copy(
    update={
        "order_ttl_s": 60, "epoch_max_s": 20, "check_wait_s": 1, "commit_window_s": 1, "reveal_window_s": 1,
        "settle_wait_s": 26, "case_window_s": 26, "notice_s": 120, "unbond_s": 60,
    }
)  # fmt: skip
UNITS = 10**6
PLAN = Plan(SHORT, lanes=(("requester", UNITS),), bond_units=UNITS)


@dataclass
class Network:
    """A chain with contracts, a settler, a funded lane, and a fake backend on that deployment."""

    rpc: str
    chain: Chain
    deployer: Sender
    settler: Sender
    backend: FakeBackend
    folder: Path

    @property
    def deployment_file(self) -> Path:
        """What every command reads."""
        return self.folder / "deployment.json"

    def fund(self, address: str, *, tokens: int) -> None:
        """Native coin for gas, and whole tokens."""
        self.deployer.pay([address], 10**18)
        self.deployer.call(self.chain.token.functions.transfer(to_checksum_address(address), tokens * 10**18))

    def post(self, epoch_id: int, leaves: list[bytes]) -> None:
        """Posts an epoch, once the seed's block of the one before is behind."""
        escrow = self.chain.escrow.functions
        if epoch_id > 1:
            behind = escrow.epochs(epoch_id - 1).call().postedBlock + SHORT.seed_blocks
            self.wait(lambda: self.chain.head().number > behind)
        self.settler.call(
            escrow.postEpoch(epoch_id, merkle_root(leaves), len(leaves), BEACON.value(epoch_id), bytes(32)), gas=500_000
        )

    def settle(
        self, epoch_id: int, answers: list[JournaledAnswer], operator_id: int, *, prove_cap: bool = True
    ) -> None:
        """Settles an epoch of one lane; without a proof of its cap the lane is skipped."""
        order = max((a.grant for a in answers), key=lambda grant: grant.order.spend_cap)
        r, vs = compact(order.order_signature)
        proof = CapProof(order.order.spend_cap, terms_hash(order.order.terms), r, vs)
        rows = tuple(self.row(answer, operator_id) for answer in answers)
        group = LaneGroup(order.order.requester, order.signer, proof if prove_cap else None, rows)
        revealed = self.chain.escrow.functions.epochs(epoch_id + 1).call().postedAt
        self.wait(lambda: self.chain.head().timestamp > revealed + SHORT.check_wait_s)
        packed = pack(Epoch((group,), frozenset()))
        self.settler.call(self.chain.escrow.functions.settleEpoch(epoch_id, packed), gas=2_000_000)

    def row(self, answer: JournaledAnswer, operator_id: int) -> Row:
        """The leaf of an answer."""
        return row_of(answer, self.chain.deployment.domain.commitment_digest(answer.commitment), operator_id)

    def wait(self, done: Callable[[], bool]) -> None:
        """Polls until it is so."""
        eventually(done)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A founded chain with four blocks a second, a bonded settler and a funded lane."""
    with founded(PLAN, "--block-time", "0.25") as place:
        chain = place.chain()
        backend = FakeBackend(place.deployment, key("settler"), fake_manifest(), unix_time)
        assert backend.requester.address == key("requester").address, "whose lane is funded"
        deployer, settler = (Sender(chain.w3, key(name)) for name in ("deployer", "settler"))
        network = Network(place.url, chain, deployer, settler, backend, tmp_path)
        place.deployment.save(network.deployment_file)
        for name, value in {
            "ASSAY_PASSWORD": PASSWORD, "ASSAY_RPC": place.url, "ASSAY_DEPLOYMENT": str(network.deployment_file),
            "ASSAY_HOME": str(tmp_path / "node"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield network


def command(*arguments: str, code: int = 0) -> str:
    """Runs `assay node ...` and returns what it printed, and the error that ended it."""
    result = CliRunner().invoke(node_app, list(arguments))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    error = result.exception
    return f"{result.output}{error.code} {error}" if isinstance(error, AssayError) else result.output


def joined(network: Network) -> int:
    """An operator with stake, made by the commands an operator uses."""
    owner = next(line.split()[1] for line in command("keys").splitlines() if line.startswith("owner"))
    network.fund(owner, tokens=100)
    command("init", "--stake", "40")
    return int(network.chain.stakes.functions.operatorIdOf(to_checksum_address(owner)).call())


@pytest.mark.chain
def test_init_says_what_is_missing_and_can_be_repeated(network: Network) -> None:
    """A newcomer without gas, then without tokens, is told what to send where; repeating init changes nothing twice."""
    assert "not_funded" in command("init", "--stake", "40", code=1)
    assert "gas" in command("init", "--stake", "40", code=1)
    owner = next(line.split()[1] for line in command("keys").splitlines() if line.startswith("owner"))
    network.fund(owner, tokens=50)
    assert "not_funded" in command("init", "--stake", "70", code=1)
    assert "40 tokens" in command("init", "--stake", "40")
    nonce = network.chain.w3.eth.get_transaction_count(to_checksum_address(owner))
    command("init", "--stake", "40")
    assert network.chain.w3.eth.get_transaction_count(to_checksum_address(owner)) == nonce
    assert "42.5 tokens" in command("stake", "2.5")
    assert "is paid to" in command("init", "--payout", "0x" + "11" * 20, code=1)
    assert "42.5 tokens" in command("earnings")


@pytest.mark.chain
def test_a_key_is_revoked_by_its_owner_and_the_account_goes_on(network: Network) -> None:
    """Protects an operator whose node key was stolen: it is nobody's at once and never again; the account, its stake
    and its money stay reachable from the same home. Covers: A66"""
    operator_id = joined(network)
    hot = next(line.split()[1] for line in command("keys").splitlines() if line.startswith("node"))
    facts = OnchainFacts(network.chain)
    assert require_registered(facts.operator_of(hot), hot) == operator_id
    assert f"revoking the node key {hot.lower()}" in command("revoke-key")
    with pytest.raises(NotRegistered, match="was revoked"):
        require_registered(facts.operator_of(hot), hot)
    assert "no address" in command("revoke-key", "0x12", code=1)
    assert "StakeManager_NotNodeKey" in command("revoke-key", hot, code=1)
    assert "was revoked" in command("init", "--stake", "40", code=1)
    command("stake", "1")
    assert read_account(network.chain, operator_id).stake_units == 41 * 10**9


@pytest.mark.chain
def test_serves_is_paid_and_settles_alone(network: Network) -> None:
    """Jobs are served and their receipts checked against the chain. One epoch is settled and claimed; the next is left
    stranded by a settler that dies, and the node is paid from its journal alone. Covers: A29"""
    operator_id = joined(network)
    escrow = network.chain.escrow.functions
    first = [network.backend.order(text, spend_cap=UNITS) for text in (b"one", b"two")]
    node, stop = _serve_in_background(network)
    network.wait(lambda: len(network.backend.commitments) == 2)
    leaves = _leaves(network, first, operator_id, epoch_id=1)
    network.post(1, leaves)
    second = network.backend.order(b"stranded", spend_cap=UNITS)
    network.wait(lambda: len(network.backend.commitments) == 3)
    network.post(2, _leaves(network, [second], operator_id, epoch_id=2))
    journal = _journal(network)
    network.wait(lambda: len(journal.rooted()) == 3)
    assert "it can be settled one by one after" in command("settle", second, code=1)
    stop.set()
    node.join(PATIENCE_S)
    assert not node.is_alive()
    network.settle(1, [a for a in journal.rooted() if a.order_id in first], operator_id)
    gross = sum(network.row(a, operator_id).amount_units for a in journal.rooted() if a.order_id in first)
    assert read_account(network.chain, operator_id).claimable_units == gross - gross * SHORT.fee_bps // 10_000
    before = network.chain.balance_wei(read_account(network.chain, operator_id).payout)
    assert "claimed" in command("claim")
    paid = network.chain.balance_wei(read_account(network.chain, operator_id).payout) - before
    assert paid == (gross - gross * SHORT.fee_bps // 10_000) * SHORT.unit_wei
    assert command("claim").startswith("nothing to claim: "), "no transaction is sent that the contract would refuse"
    pass_time(network.chain.w3, SHORT.settle_wait_s)  # only commands are left, and they ask the chain for the time
    network.wait(lambda: escrow.epochStatus(2).call() == 4)
    assert "1 jobs settled one by one" in command("settle")
    assert read_account(network.chain, operator_id).claimable_units > 0
    assert "0 jobs settled one by one" in command("settle")
    assert "was settled" in command("settle", second, code=1)
    assert "under a root               3" in command("status")
    journal.close()


@pytest.mark.chain
def test_skipped_leaf_is_settled_by_its_node(network: Network) -> None:
    """A lane that the settler let fail is skipped whole; the node proves the cap with the order it kept and is paid.

    Covers: A29
    """
    operator_id = joined(network)
    order_id = network.backend.order(b"skipped", spend_cap=UNITS)
    node, stop = _serve_in_background(network)
    network.wait(lambda: len(network.backend.commitments) == 1)
    network.post(1, _leaves(network, [order_id], operator_id, epoch_id=1))
    journal = _journal(network)
    network.wait(lambda: len(journal.rooted()) == 1)
    stop.set()
    node.join(PATIENCE_S)
    network.post(2, [])
    network.settle(1, journal.rooted(), operator_id, prove_cap=False)
    assert read_account(network.chain, operator_id).claimable_units == 0
    command("settle", order_id)
    assert read_account(network.chain, operator_id).claimable_units > 0
    assert "0 jobs settled one by one" in command("settle")
    journal.close()


def _journal(network: Network) -> NodeJournal:
    node = network.backend.commitments[0].commitment.node
    return NodeJournal(network.folder / "node" / JOURNAL, node=node, domain=network.chain.deployment.domain)


def _serve_in_background(network: Network) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()

    def serve_until_stopped() -> None:
        with network.backend.serve() as url:
            settings = NodeSettings(
                home=network.folder / "node", rpc_url=network.rpc, deployment=network.chain.deployment, backend_url=url,
                workloads=(network.backend.manifest.workload_id(),), password=PASSWORD, poll_s=0.2,
            )  # fmt: skip
            run_node(settings, lambda manifest: EchoEngine(), stop)

    thread = threading.Thread(target=serve_until_stopped)
    thread.start()
    return thread, stop


def _leaves(network: Network, order_ids: list[str], operator_id: int, epoch_id: int) -> list[bytes]:
    """Makes the backend's receipts, and returns the leaves to post."""
    network.backend.root(order_ids, operator_id, epoch_id)
    return [network.backend.row(order_id, operator_id).leaf() for order_id in order_ids]


def test_keys_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file is never overwritten and never readable by others; the password is asked for by name."""
    monkeypatch.delenv("ASSAY_PASSWORD", raising=False)
    file, runner = tmp_path / "key.json", CliRunner()
    assert "ASSAY_PASSWORD" in str(runner.invoke(keys_app, ["new", str(file)]).exception)
    monkeypatch.setenv("ASSAY_PASSWORD", PASSWORD)
    made = runner.invoke(keys_app, ["new", str(file)])
    assert made.exit_code == 0
    assert made.output.strip().startswith("0x")
    assert os.stat(file).st_mode & 0o077 == 0
    again = runner.invoke(keys_app, ["new", str(file)])
    assert again.exit_code == 1
    assert "never overwritten" in str(again.exception)
