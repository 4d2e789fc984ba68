"""Lanes for session keys, of wallets with a key and of contract wallets, through the backend to their settlement."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from typer.testing import CliRunner

from backend.client import AssayClient
from backend.client.authorizations import SignedDeposit, SignedGrant, bring_deposit, bring_grant
from backend.client.cli import jobs_app, wallet_app
from backend.client.errors import GrantSpent, Refused
from backend.services.closing import ClosingRule
from backend.store.home import open_database
from backend.worker import Worker, WorkerSettings
from contracts.onchain.artifacts import artifact
from contracts.onchain.errors import Reverted
from contracts.onchain.lanes import read_lane
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import keccak
from contracts.protocol.records import LaneGrant
from contracts.protocol.signing import Signer
from contracts.protocol.wire import LeaseGrant
from tests.integration.backend.api.coordinator import FIXED, KEYS, UNIT, Coordinator, coordinator
from tests.world.anvil import rpc
from tests.world.fakes import FakeBeacon
from tests.world.parties import BEACON
from tests.world.waiting import eventually

pytestmark = pytest.mark.chain

PRICE = FIXED + 2 * UNIT
PASSWORD = "a password of tests"
FAST = DEVELOPMENT.model_copy(update={"check_wait_s": 2})


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A coordinator whose epochs are checked for two seconds only, since its clients' clock cannot be moved."""
    with coordinator(tmp_path_factory.mktemp("home"), FAST) as found:
        yield found


def session(name: str) -> Signer:
    return Signer(keccak(b"session " + name.encode()))


def hour() -> int:
    return int(time.time()) + 3600


def settle(running: Coordinator) -> None:
    """A worker beside the coordinator, until the first epoch is settled."""
    chain, settler = running.chain, KEYS["settler"]
    running.bond_settler(10**6)
    settings = WorkerSettings(
        home=running.home, rpc_url="", deployment=chain.deployment, beacon_url="", settler=settler,
        treasury=session("treasury"), closing=ClosingRule(1), confirmations=0,
    )  # fmt: skip
    beacon = FakeBeacon([BEACON.value(epoch_id) for epoch_id in range(1, 10)])
    worker = Worker(open_database(running.home), chain, beacon, settings)

    def settled() -> bool:
        worker.tick(int(time.time()))
        rpc(chain.w3, "evm_mine")
        return any(event.name == "EpochSettled" for event in chain.events(0, chain.head().number))

    eventually(settled, poll_s=0.2)
    worker.tick(int(time.time()))


def contract_wallet(running: Coordinator, units: int) -> str:
    """A contract wallet of alice's key, with tokens that the escrow may pull."""
    deployer, chain = running.sender("deployer"), running.chain
    address = deployer.create("DevWallet", [to_checksum_address(KEYS["alice"].address)])
    wei = units * chain.deployment.constants.unit_wei
    deployer.call(chain.token.functions.transfer(address, wei))
    wallet = chain.w3.eth.contract(address=to_checksum_address(address), abi=artifact("DevWallet").abi)
    approve = chain.token.encode_abi("approve", [chain.escrow.address, wei])
    running.sender("alice").call(wallet.functions.execute(chain.token.address, approve))
    return address.lower()


def delegate(running: Coordinator, who: str) -> None:
    """Gives a key's account the code of a contract by a type-4 transaction (EIP-7702)."""
    owner, w3 = running.sender("owner"), running.chain.w3
    contract = running.sender("deployer").create("DevWallet", [owner.address])
    nonce = w3.eth.get_transaction_count(to_checksum_address(KEYS[who].address))
    leave = {"chainId": w3.eth.chain_id, "address": contract, "nonce": nonce}
    fields = {
        "type": 4, "chainId": w3.eth.chain_id, "nonce": w3.eth.get_transaction_count(owner.address),
        "to": owner.address, "value": 0, "data": b"", "gas": 200_000, "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
        "authorizationList": [Account.sign_authorization(leave, KEYS[who].private_key())],
    }  # fmt: skip
    signed = Account.sign_transaction(fields, KEYS["owner"].private_key())
    w3.eth.send_raw_transaction(bytes(signed.raw_transaction))
    eventually(lambda: w3.eth.get_code(to_checksum_address(KEYS[who].address))[:3] == b"\xef\x01\x00")


def run_job(running: Coordinator, client: AssayClient) -> str:
    """An order of this client through to its delivery."""
    order_id = client.submit("Why?", max_new_tokens=4).order_id
    grant = LeaseGrant.model_validate_json(running.lease().content)
    assert grant.lease.order_id == order_id
    assert running.deliver(grant).status_code == 200
    return order_id


def test_session_lanes_order_and_settle(running: Coordinator) -> None:
    """A wallet without gas, whose account has got code meanwhile, and a contract wallet, each lend a key a lane by a
    signature that somebody else brings; the keys' orders run and settle, and cannot spend more than their lanes hold,
    nor beyond their time. The contract was asked once, when its lane was opened, and its later refusals hold up
    nothing. Covers: A22, A23, A27
    """
    chain, owner, domain = running.chain, running.sender("owner"), running.chain.deployment.domain
    running.register_node(stake_units=100_000)
    wallet = running.wallet()
    delegate(running, "alice")
    bring_grant(chain, owner, wallet.grant_lane(session("of a key").address, 400, hour()))
    contract = contract_wallet(running, 1_000)
    grant = LaneGrant(requester=contract, signer=session("of a contract").address, amount=400, expiry=hour(), nonce=0)
    signed = SignedGrant(grant=grant, signature=KEYS["alice"].sign(domain.lane_grant_digest(grant)), permit=None)
    bring_grant(chain, owner, signed)
    clients = {
        wallet.address: running.client(session("of a key"), wallet.address),
        contract: running.client(session("of a contract"), contract),
    }
    orders = {requester: run_job(running, client) for requester, client in clients.items()}
    for client in clients.values():
        with pytest.raises(Refused) as caught:
            client.submit("more than the lane holds", max_new_tokens=30)
        assert caught.value.code == "balance_too_low"
    bring_grant(chain, owner, wallet.grant_lane(session("brief").address, 400, int(time.time()) + 30))
    with pytest.raises(Refused) as caught:
        running.client(session("brief"), wallet.address).submit("late", max_new_tokens=1)
    assert caught.value.code == "lane_expires_first"
    chain.w3.request("anvil_setCode", contract, "0xfe")  # it always reverts now
    settle(running)
    for requester, client in clients.items():
        view = client.order(orders[requester])
        assert view.state == "paid"
        assert client.verify_price(view) == PRICE
        lane = read_lane(chain, requester, view.signer)
        assert (lane.balance, lane.charged) == (400 - PRICE, PRICE)
    assert wallet.lane().balance == 0


def test_what_is_signed_cannot_be_redirected(running: Coordinator) -> None:
    """Whoever brings a grant or a deposit can change neither lane nor amount, and not bring it twice. Covers: A39"""
    chain, owner, wallet, key = running.chain, running.sender("owner"), running.wallet(), session("lent")
    grant = wallet.grant_lane(key.address, 500, hour())
    for change in ({"signer": KEYS["owner"].address}, {"amount": 501}, {"expiry": hour() + 60}):
        bent = grant.model_copy(update={"grant": grant.grant.model_copy(update=change)})
        with pytest.raises(Reverted, match="GrantNotSigned"):
            bring_grant(chain, owner, bent)
    bring_grant(chain, owner, grant)
    with pytest.raises(GrantSpent, match="the wallet's next is 1; it was used"):
        bring_grant(chain, owner, grant)
    deposit = wallet.deposit_with_authorization(300, key.address)
    for bent_deposit in bent_deposits(deposit):
        with pytest.raises(Reverted):
            bring_deposit(chain, owner, bent_deposit)
    bring_deposit(chain, owner, deposit)
    with pytest.raises(Reverted):
        bring_deposit(chain, owner, deposit)
    assert wallet.lane(key.address).balance == 800
    own = wallet.deposit_with_authorization(200)
    bring_deposit(chain, owner, own)
    assert wallet.lane().balance == 200


def bent_deposits(deposit: SignedDeposit) -> list[SignedDeposit]:
    thief = KEYS["owner"].address
    changes = ({"requester": thief, "signer": thief}, {"signer": deposit.requester}, {"units": 301}, {"payer": thief})
    return [deposit.model_copy(update=change) for change in changes]


def test_sessions_at_the_command_line(running: Coordinator, tmp_path: Path) -> None:
    """People lend a key to a program by one command, see what is left in its lane, and order with it; the wallet's key
    is not needed for that, and a grant that was only signed is opened by whoever brings it.
    """
    key = Account.encrypt(KEYS["alice"].private_key(), PASSWORD, iterations=2)
    (tmp_path / "requester.json").write_text(json.dumps(key))
    running.chain.deployment.save(tmp_path / "deployment.json")
    url = running.chain.w3.url
    run = CliRunner(
        env={
            "ASSAY_HOME": str(tmp_path), "ASSAY_RPC": url, "ASSAY_PASSWORD": PASSWORD, "ASSAY_BACKEND": running.url,
            "ASSAY_DEPLOYMENT": str(tmp_path / "deployment.json"), "COLUMNS": "200",
        }
    )  # fmt: skip

    def call(app: object, *arguments: str, fails: bool = False) -> str:
        result = run.invoke(app, list(arguments))  # type: ignore[arg-type]  # a typer app
        assert (result.exit_code != 0) == fails, result.output
        return f"{result.output} {result.exception}"

    assert "No sessions" in call(wallet_app, "session", "list")
    signed = call(wallet_app, "session", "new", "bot", "--amount", "0.000001", "--sign-only")
    assert "session bring" in signed
    assert "not opened" in call(wallet_app, "session", "list")
    call(wallet_app, "session", "bring", str(tmp_path / "sessions" / "bot.grant.json"))
    assert "may spend 0.000002 ADEV" in call(wallet_app, "session", "new", "tool", "--amount", "0.000002")
    listed = call(wallet_app, "session", "list")
    assert "0.000001 ADEV" in listed
    assert "not opened" not in listed
    running.register_node(stake_units=100_000)
    running.lease()
    alone = call(jobs_app, "submit", "--session", "tool", "--prompt", "What?", "--max-new-tokens", "4", "--no-wait")
    (tmp_path / "requester.json").unlink()
    ordered = call(jobs_app, "submit", "--session", "bot", "--prompt", "Why?", "--max-new-tokens", "4", "--no-wait")
    assert "is queued" in ordered
    theirs = {name: re.findall("0x[0-9a-f]{12}", text)[0] for name, text in (("bot", ordered), ("tool", alone))}
    for name, other in (("bot", "tool"), ("tool", "bot")):
        listed = call(jobs_app, "list", "--session", name)
        assert theirs[name] in listed
        assert theirs[other] not in listed
    assert "there are: bot, tool" in call(jobs_app, "submit", "--session", "nobody", "--prompt", "?", fails=True)
