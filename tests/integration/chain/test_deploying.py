"""`assay deploy` on both chains: the same network every time, whatever came before, or a clear reason why not."""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.address import to_checksum_address
from typer.testing import CliRunner

from contracts.onchain.artifacts import artifact
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment, deploy, make_dev_token
from contracts.onchain.errors import (
    BadDeployment,
    ForeignCode,
    NoContract,
    NoFactory,
    RequestRefused,
    Reverted,
    WrongChain,
)
from contracts.onchain.eth import Record
from contracts.onchain.founding import cost_wei, create_contracts, ensure_factory, steps
from contracts.onchain.keystore import create_key
from contracts.onchain.origin import ANYONE, FACTORY, FACTORY_RUNTIME, DeploymentPlan, create2
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT, PRODUCTION, Constants
from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.signing import Signer
from deploy.deploying import run
from deploy.deploying.cli import deploy_app
from deploy.deploying.config import EXAMPLE, Config
from deploy.deploying.errors import (
    AdminLeft,
    EmptyAccount,
    OtherBuild,
    OtherDeployment,
    StuckTransactions,
    UnusableToken,
)
from deploy.deploying.governance import PROPOSAL_GAS
from deploy.localnet.chain.cli import chain_app
from deploy.localnet.chain.embedded import MNEMONIC

pytestmark = pytest.mark.chain
SETTLER, TREASURY, GUARDIAN, PROPOSER = (f"0x{n:02x}" + "51" * 19 for n in range(1, 5))
ANCHOR = "0x" + "11" * 32
on_anvil = pytest.mark.parametrize("w3", ["anvil"], indirect=True)
"""For what does not depend on the kind of chain, or needs one that can be made to lie."""


def key(number: int) -> Signer:
    """One of the accounts that are rich on both chains."""
    Account.enable_unaudited_hdwallet_features()
    return Signer(bytes(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{number}").key))


@pytest.fixture
def place(w3: Rpc, tmp_path: Path) -> "Place":
    """A chain with a token on it. Anvil mines at once, so that waiting is short."""
    with contextlib.suppress(RequestRefused):  # py-evm says no
        w3.request("evm_setAutomine", True)
    return Place(w3, tmp_path, make_dev_token(Sender(w3, key(1))))


@dataclass
class Place:
    """Where networks are deployed. `said`: what the last run told."""

    w3: Rpc
    folder: Path
    token: str
    said: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "deployment.json"

    @property
    def is_anvil(self) -> bool:
        return "anvil" in self.w3.request("web3_clientVersion").lower()

    def rpc(self, method: str, *params: Any) -> Any:
        return self.w3.request(method, *params)

    def sender(self, number: int = 0) -> Sender:
        return Sender(self.w3, key(number))

    def config(self, **changes: Any) -> Config:
        fields: dict[str, Any] = {
            "chain_id": 31337, "token": self.token.lower(), "settler": SETTLER, "treasury": TREASURY,
            "guardian": GUARDIAN, "beacon_anchor": ANCHOR, "constants": "development",
            "governor": {"proposers": [PROPOSER]},
        }  # fmt: skip
        return Config.model_validate_json(json.dumps(fields | changes))

    def deploy(
        self, config: Config | None = None, sender: Sender | None = None, file: Path | None = None
    ) -> Deployment:
        self.said = []
        return run.deploy(
            sender or self.sender(), config or self.config(), file or self.file, self.said.append, wait_s=10.0
        )

    def verify(self, file: Path | None = None) -> Deployment:
        self.said = []
        return run.verify(self.w3, file or self.file, self.said.append)

    def nonce(self, number: int = 0) -> int:
        return self.w3.eth.get_transaction_count(self.sender(number).address)

    def transactions_since(self, block: int) -> int:
        blocks = range(block + 1, self.w3.eth.block_number + 1)
        return sum(len(self.w3.eth.get_block(number)["transactions"]) for number in blocks)


def test_deploying_twice_changes_nothing(place: Place) -> None:
    """The second run sends nothing, and the file stays as it is to the byte, its time included."""
    first = place.deploy()
    nonce, block, stamp, text = place.nonce(), place.w3.eth.block_number, place.file.stat(), place.file.read_bytes()
    assert place.deploy() == first
    assert (place.nonce(), place.transactions_since(block)) == (nonce, 0)
    assert (place.file.read_bytes(), place.file.stat().st_mtime_ns) == (text, stamp.st_mtime_ns)
    assert "every contract is deployed already, from this build" in place.said
    place.file.unlink()
    assert place.deploy() == first, "the file that was lost is written again as it was"
    assert place.nonce() == nonce


def test_what_is_deployed_is_the_build_and_the_roles_are_the_governors(place: Place) -> None:
    """Every byte on chain is the build's with its immutables; nobody but the governor is its admin. Covers: A28"""
    config = place.config(governor={"proposers": [PROPOSER], "executors": [SETTLER]})
    deployment = place.deploy(config)
    plan = DeploymentPlan(config.network())
    for name, address in plan.addresses.items():
        assert bytes(place.w3.eth.get_code(to_checksum_address(address))) == plan.runtime(name, 31337)
    assert place.verify() == deployment
    chain = Chain(place.w3, deployment)
    assert chain.escrow.functions.ORDER_TTL().call() == DEVELOPMENT.order_ttl_s
    assert chain.escrow.functions.GUARDIAN().call().lower() == GUARDIAN
    assert chain.escrow.functions.GOVERNOR().call().lower() == deployment.governor
    assert to_hex(chain.escrow.functions.tip().call()) == ANCHOR
    assert chain.escrow.functions.domainSeparator().call() == deployment.domain.separator
    assert chain.stakes.functions.GOVERNOR().call().lower() == deployment.governor
    governor = chain.governor.functions
    assert governor.getMinDelay().call() == DEVELOPMENT.timelock_s
    held = {
        (role, account)
        for role in ("DEFAULT_ADMIN", "PROPOSER", "CANCELLER", "EXECUTOR")
        for account in (
            deployment.governor,
            PROPOSER,
            SETTLER,
            place.sender().address,
            deployment.founding.origin,
            ANYONE,
        )  # type: ignore[union-attr]
        if governor.hasRole(governor[f"{role}_ROLE"]().call(), to_checksum_address(account)).call()
    }
    assert held == {
        ("DEFAULT_ADMIN", deployment.governor), ("PROPOSER", PROPOSER), ("CANCELLER", PROPOSER), ("EXECUTOR", SETTLER)
    }  # fmt: skip


class Killed(Exception):
    """The process ended here."""


class Mortal(Sender):
    """A sender whose process is killed when it has sent so many transactions, before it learns what became of them."""

    def __init__(self, w3: Rpc, signer: Signer, left: int) -> None:
        super().__init__(w3, signer)
        self._left = left

    def _mined(self, tx_hash: bytes, describe: str) -> Record:
        self._left -= 1
        if self._left == 0:
            raise Killed
        return super()._mined(tx_hash, describe)


@on_anvil
def test_a_run_killed_after_any_transaction_is_finished_by_the_next(place: Place) -> None:
    """No step is sent twice, and the network is the same as if nothing had happened. Covers: A45"""
    lives = 1
    while True:
        config, file = place.config(salt=f"life {lives}"), place.folder / f"{lives}.json"
        before = place.nonce()
        try:
            place.deploy(config, Mortal(place.w3, key(0), lives), file)
            break
        except Killed:
            assert not file.exists()
        deployment = place.deploy(config, file=file)
        assert deployment == place.verify(file)
        assert place.nonce() - before == 6
        lives += 1
    assert lives == 7


def test_a_run_killed_again_and_again_gets_there(place: Place) -> None:
    """Killed at each transaction: every run goes on where the one before stopped, says so, repeats none. Covers: A45"""
    while True:
        try:
            place.deploy(sender=Mortal(place.w3, key(0), 1))
            break
        except Killed:
            if any("earlier run deployed" in line for line in place.said):
                assert "Origin" in place.said[0]
    assert place.nonce() == (6 if place.is_anvil else 7), "six creations, and where no factory is, its maker is paid"
    place.verify()


@on_anvil
def test_another_account_deploys_the_same_network(place: Place) -> None:
    """Who sends is no part of a network: a second deployer finds it, and finishes one that the first left."""
    first = place.deploy()
    other, config = place.folder / "other.json", place.config(salt="shared")
    assert place.deploy(sender=place.sender(2), file=other) == first
    assert place.nonce(2) == 0
    other.unlink()
    with pytest.raises(Killed):
        place.deploy(config, Mortal(place.w3, key(0), 3), other)
    finished = place.deploy(config, place.sender(2), other)
    assert finished.escrow != first.escrow
    assert place.verify(other) == finished
    assert place.nonce(2) == 3


class Overtaken(Sender):
    """A sender that another one is always faster than."""

    def __init__(self, w3: Rpc, signer: Signer, other: Sender) -> None:
        super().__init__(w3, signer)
        self._other = other

    def transact(self, to: str, data: bytes, *, gas: int, describe: str) -> Record:
        self._other.transact(to, data, gas=gas, describe=describe)
        return super().transact(to, data, gas=gas, describe=describe)


@on_anvil
def test_two_accounts_at_once_deploy_one_network(place: Place) -> None:
    """Whoever comes second to a step fails cheaply and goes on. Covers: A39"""
    ensure_factory(place.sender())
    plan = DeploymentPlan(place.config().network())
    sender = Overtaken(place.w3, key(0), place.sender(2))
    create_contracts(sender, plan, place.said.append)
    assert [line.split(", ")[1] for line in place.said] == ["by another account"] * 6
    assert place.nonce(2) == len(steps(plan, 31337))
    place.deploy()
    place.verify()


@on_anvil
def test_another_chain_is_refused(place: Place) -> None:
    """Before anything is sent, with both numbers. Covers: A44"""
    with pytest.raises(WrongChain, match="serves chain 31337, the deployment is on chain 1"):
        place.deploy(place.config(chain_id=1))
    assert place.nonce() == 0
    assert not place.file.exists()


def test_an_empty_account_is_told_what_it_needs_and_that_is_enough(place: Place) -> None:
    """Nothing is sent before it has that much."""
    poor = Signer(b"\5" * 32)
    sender = Sender(place.w3, poor)
    with pytest.raises(EmptyAccount, match=r"has 0\.000000 ether and needs up to (\d+\.\d+)") as refused:
        place.deploy(sender=sender)
    needs_micro = int(str(refused.value).split("needs up to ")[1].split(" ")[0].replace(".", ""))
    place.sender(1).pay([poor.address], needs_micro * 10**12 // 2)
    with pytest.raises(EmptyAccount):
        place.deploy(sender=sender)
    assert place.w3.eth.get_transaction_count(sender.address) == 0
    place.sender(1).pay([poor.address], needs_micro * 10**12 // 2 + 10**12)
    place.deploy(sender=sender)
    place.verify()


def test_no_step_takes_more_gas_than_it_is_given_nor_much_less(place: Place) -> None:
    """The formula behind the limits and the balance asked for, with one proposer and with many."""
    ensure_factory(place.sender())
    for proposers in (1, 6):
        accounts = tuple("0x" + f"{n:02x}" * 20 for n in range(1, proposers + 1))
        config = place.config().network().model_copy(update={"proposers": accounts, "executors": accounts})
        todo = steps(DeploymentPlan(config), 31337)
        used = [place.sender().transact(s.to, s.data, gas=s.gas, describe=s.name)["gasUsed"] for s in todo]
        assert all(gas <= step.gas for gas, step in zip(used, todo, strict=True))
        assert sum(used) * 100 > 85 * sum(step.gas for step in todo)
        assert max(step.gas for step in todo) < 2**24, "EIP-7825's cap of a transaction"
        assert cost_wei(place.w3, todo, 7) == 7 * sum(step.gas for step in todo)


@on_anvil
def test_waiting_transactions_are_waited_for_or_named(place: Place) -> None:
    """A second step under the next nonce would fail or be paid twice. Covers: A42"""
    place.rpc("evm_setAutomine", False)
    sender = place.sender()
    with pytest.raises(Killed):
        Mortal(place.w3, key(0), 1).pay([SETTLER], 1)
    with pytest.raises(StuckTransactions, match="1 transactions of"):
        run.deploy(sender, place.config(), place.file, place.said.append, wait_s=0.0)
    place.rpc("evm_setAutomine", True)
    place.rpc("evm_mine")
    place.deploy()


@on_anvil
def test_a_chain_without_the_factory_gets_it_or_says_why_not(place: Place) -> None:
    """Its well-known transaction is paid for and sent; where its sender is spent, nobody can put it there."""
    place.rpc("anvil_setCode", FACTORY, "0x")
    ensure_factory(place.sender())
    assert bytes(place.w3.eth.get_code(to_checksum_address(FACTORY))) == FACTORY_RUNTIME
    place.rpc("anvil_setCode", FACTORY, "0x")
    with pytest.raises(NoFactory, match="mined the transaction that creates it, but the code is not there"):
        place.deploy()
    assert not place.file.exists()


# ---------------------------------------------------------------- tokens


def token_that(place: Place, runtime: str) -> str:
    """A contract with this code."""
    ensure_factory(place.sender(1))
    size = len(runtime) // 2
    init = bytes.fromhex(f"60{size:02x}600c60003960{size:02x}6000f3{runtime}")
    place.sender(1).transact(FACTORY, ZERO32 + init, gas=200_000, describe="token")
    return create2(FACTORY, ZERO32, keccak(init))


@on_anvil
@pytest.mark.parametrize(
    ("runtime", "why"),
    [
        (None, "has no code on this chain"),
        ("600060005260206000f3", "answers a transfer of nothing with 0x0"),
        ("601260005260406000f3", r"answers decimals\(\) with 64 bytes, not 32"),
        ("00", r"answers decimals\(\) with 0 bytes, not 32"),
        ("60006000fd", r"refuses decimals\(\)"),
    ],
    ids=["nobody", "says false", "says too much", "says nothing", "reverts"],
)
def test_what_is_no_token_is_refused(place: Place, runtime: str | None, why: str) -> None:
    """Before anything is sent, with the question that it failed. Covers: A34"""
    token = SETTLER if runtime is None else token_that(place, runtime)
    with pytest.raises(UnusableToken, match=why):
        place.deploy(place.config(token=token))
    assert place.nonce() == 0


@on_anvil
@pytest.mark.parametrize("unit_wei", [3, 10**19, 1])
def test_a_unit_that_does_not_suit_the_decimals_is_refused(place: Place, unit_wei: int) -> None:
    """A third of a wei, more than a token, or so little that 64 bits hold no 10^9 tokens."""
    with pytest.raises(UnusableToken, match=f"has 18 decimals, which unit_wei = {unit_wei} does not suit"):
        place.deploy(place.config(overrides={"unit_wei": unit_wei}))


# ---------------------------------------------------------------- files and chains that say otherwise


@on_anvil
def test_the_file_of_another_network_is_left_alone(place: Place) -> None:
    """A changed configuration does not overwrite it, and the first key that differs is named; nothing is sent."""
    place.deploy()
    text, nonce = place.file.read_bytes(), place.nonce()
    with pytest.raises(OtherDeployment, match="fee_bps is 1000, not 500"):
        place.deploy(place.config(overrides={"fee_bps": 500}))
    with pytest.raises(OtherDeployment, match=f"settler is {SETTLER}, not {TREASURY}"):
        place.deploy(place.config(settler=TREASURY))
    assert (place.file.read_bytes(), place.nonce()) == (text, nonce)
    place.file.write_text("{}")
    with pytest.raises(BadDeployment, match="chain_id: Field required"):
        place.deploy()
    assert place.nonce() == nonce


@on_anvil
def test_a_configuration_that_grows_is_the_same_network(place: Place) -> None:
    """Another verifier to propose changes which configuration the file names, and nothing else."""
    first, nonce = place.deploy(), place.nonce()
    grown = place.config(verifiers=[{"owner": SETTLER, "key": TREASURY}])
    second = place.deploy(grown)
    assert place.nonce() == nonce
    assert first.founding is not None
    founding = first.founding.model_copy(update={"config_hash": grown.digest()})
    assert second == Deployment.load(place.file) == first.model_copy(update={"founding": founding})


@on_anvil
def test_a_check_refuses_files_that_say_something_else(place: Place) -> None:
    """Missing, changed, or of a deployment that nobody can recompute: each has its reason. Covers: A44"""
    with pytest.raises(BadDeployment, match="No such file"):
        place.verify()
    deployment = place.deploy()
    for change, why in {
        ("escrow", SETTLER): f"escrow is {SETTLER}, not {deployment.escrow}",
        ("settler", TREASURY): "escrow is",
        ("constants", DEVELOPMENT.model_copy(update={"fee_bps": 7})): "escrow is",
        ("founding", None): "founding is missing",
    }.items():
        deployment.model_copy(update=dict([change])).save(place.file)
        with pytest.raises((OtherBuild, BadDeployment), match=why):
            place.verify()
    deployment.model_copy(update={"first_block": 0}).save(place.file)
    place.verify()


def test_a_check_on_a_chain_without_the_network_says_what_is_missing(place: Place) -> None:
    """The factory first, then the contracts in their order."""
    config = place.config()
    Deployment.of(DeploymentPlan(config.network()), 31337, 0, config.digest()).save(place.file)
    if not place.is_anvil:
        with pytest.raises(NoContract, match="deterministic deployment proxy"):
            place.verify()
    ensure_factory(place.sender())
    assert bytes(place.w3.eth.get_code(to_checksum_address(FACTORY))) == FACTORY_RUNTIME
    with pytest.raises(NoContract, match="where Origin should be"):
        place.verify()
    with pytest.raises(Killed):
        place.deploy(config, Mortal(place.w3, key(0), 3), place.folder / "new.json")
    with pytest.raises(NoContract, match=r"where (StakeManager|JobEscrow) should be"):
        place.verify()


@on_anvil
def test_code_that_was_changed_is_named(place: Place) -> None:
    """A chain on which one byte, or one constant, is not as built: refused by a check and by a run. Covers: A28"""
    deployment = place.deploy()
    whole = bytes(place.w3.eth.get_code(to_checksum_address(deployment.escrow)))
    other_byte = bytearray(whole)
    other_byte[100] ^= 1
    other_fee = bytearray(whole)
    for at in artifact("JobEscrow").immutables["FEE_BPS"]:
        other_fee[at : at + 32] = (500).to_bytes(32, "big")
    for code, why in {
        bytes(other_byte): "JobEscrow: it differs from byte 100 on",
        bytes(other_fee): "JobEscrow: FEE_BPS is 500, not 1000;",
        whole[:-1]: f"it has {len(whole) - 1} bytes, not {len(whole)}",
    }.items():
        place.rpc("anvil_setCode", deployment.escrow, "0x" + code.hex())
        for attempt in (place.verify, place.deploy):
            with pytest.raises(ForeignCode, match=why):
                attempt()
    place.rpc("anvil_setCode", deployment.escrow, "0x" + whole.hex())
    place.rpc("anvil_setCode", FACTORY, "0x00")
    with pytest.raises(ForeignCode, match="deterministic deployment proxy"):
        place.verify()


@on_anvil
def test_an_admin_besides_the_governor_is_an_alarm(place: Place) -> None:
    """Whoever could skip the delay, if ever one could, is named. Covers: A28"""
    deployment, sender = place.deploy(), place.sender()
    role = keccak(encode(["bytes32", "uint256"], [ZERO32, 0]))
    slot = keccak(encode(["address", "bytes32"], [sender.address, role]))
    place.rpc("anvil_setStorageAt", deployment.governor, to_hex(slot), to_hex((1).to_bytes(32, "big")))
    with pytest.raises(AdminLeft, match=sender.address.lower()):
        place.deploy()


# ---------------------------------------------------------------- constants


BROKEN = {
    "settle_wait_s": "SettleWaitTooShort",
    "notice_s": "NoticeTooShort",
    "unbond_s": "UnbondTooShort",
    "contest_window_s": "ContestWindowTooShort",
    "case_window_s": "CaseWindowTooShort",
    "charge_window_s": "ChargeWindowTooShort",
    "contest_bond_units": "Contests_Miswired",
}


@on_anvil
def test_constants_are_refused_here_exactly_where_the_constructors_refuse_them(place: Place) -> None:
    """So that nobody pays for four contracts to learn that the fifth refuses. At each bound, and one beside it."""
    constants = PRODUCTION
    assert constants.misfits() == DEVELOPMENT.misfits() == []
    for name, error in BROKEN.items():
        least = _least(constants, name)
        fits, broken = (least, least - 1) if name != "contest_bond_units" else (2**64 - 1, 2**64)
        (misfit,) = constants.model_copy(update={name: broken}).misfits()
        assert misfit.startswith(f"{name} = {broken} must be")
        assert constants.model_copy(update={name: fits}).misfits() == []
        for value, refusal in ((broken, error), (fits, None)):
            config = (
                place.config().network().model_copy(update={"constants": constants.model_copy(update={name: value})})
            )
            if refusal is None:
                create_contracts(place.sender(), DeploymentPlan(config))
            else:
                with pytest.raises(Reverted, match=refusal):
                    create_contracts(place.sender(), DeploymentPlan(config))


def _least(constants: Constants, name: str) -> int:
    """The least value of a constant with which the rest fits, by bisection."""
    low, high = 0, 2**64
    while high - low > 1:
        middle = (low + high) // 2
        rules = constants.model_copy(update={name: middle}).misfits()
        low, high = (middle, high) if any(rule.startswith(f"{name} =") for rule in rules) else (low, middle)
    return high


# ---------------------------------------------------------------- the governor's proposals


def test_verifiers_and_cancellers_are_proposed_and_executed_by_running_again(place: Place) -> None:
    """Registered -> proposed -> waited -> executed -> nothing left. Nothing skips the delay. Covers: A12"""
    founder, owner, signer = place.sender(), place.sender(2), key(3).address
    config = place.config(
        governor={"proposers": [founder.address.lower()], "cancellers": [GUARDIAN]},
        verifiers=[{"owner": owner.address.lower(), "key": signer}],
        overrides={"timelock_s": 3},
    )
    deployment = place.deploy(config)
    assert any("has no account yet" in line for line in place.said)
    assert any(f"let {GUARDIAN} cancel: proposed" in line for line in place.said)
    chain = Chain(place.w3, deployment)
    owner.call(chain.stakes.functions.register(owner.address))
    said = _until_done(place, config)
    assert any("as verifier: proposed" in line for line in said)
    assert any("as verifier: executed" in line for line in said)
    assert chain.stakes.functions.verifierOf(to_checksum_address(signer)).call() == 1
    canceller = chain.governor.functions.CANCELLER_ROLE().call()
    assert chain.governor.functions.hasRole(canceller, to_checksum_address(GUARDIAN)).call()
    nonce = place.nonce()
    place.deploy(config)
    assert place.nonce() == nonce
    for block in range(deployment.first_block, place.w3.eth.block_number + 1):
        for transaction in place.w3.eth.get_block(block)["transactions"]:
            receipt = place.w3.eth.get_transaction_receipt(transaction)
            if str(receipt["to"]).lower() == deployment.governor:
                assert receipt["gasUsed"] < PROPOSAL_GAS


def _until_done(place: Place, config: Config) -> list[str]:
    """Runs until nothing is proposed any more, a second of the chain's apart."""
    said: list[str] = []
    for _ in range(40):
        place.deploy(config)
        said += place.said
        if not any("proposed;" in line for line in place.said):
            return said
        if place.is_anvil:
            place.rpc("evm_increaseTime", 1)
            place.rpc("evm_mine")
        else:
            place.sender(4).pay([SETTLER], 1)
    raise AssertionError(said)


@on_anvil
def test_who_may_not_propose_is_told_what_a_proposer_sends(place: Place) -> None:
    """The account that pays needs no role."""
    place.deploy(place.config(governor={"proposers": [PROPOSER], "cancellers": [GUARDIAN]}))
    nonce = place.nonce()
    (line,) = [line for line in place.said if line.startswith(f"let {GUARDIAN} cancel: a proposer")]
    assert "schedules 0x2f2ff15d" in line
    assert place.nonce() == nonce


# ---------------------------------------------------------------- the command


def test_the_command_deploys_checks_and_explains_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issue's own line: `assay deploy --rpc URL --config FILE`, the key beside the configuration. Covers: A51"""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("ASSAY_PASSWORD", "secret")
    rpc = place.w3.url
    account = create_key(place.folder / "deployer.json", "secret", iterations=2)
    place.sender(1).pay([account.address], 10**18)
    made = CliRunner().invoke(chain_app, ["token", "--key", "deployer.json", "--rpc", rpc], catch_exceptions=False)
    token = made.output.strip()
    Path("network.toml").write_text(f"""
        chain_id = 31337
        token = "{token}"
        settler = "{SETTLER}"
        treasury = "{TREASURY}"
        guardian = "{GUARDIAN}"
        beacon_anchor = "{ANCHOR}"
        constants = "development"
        [governor]
        proposers = ["{PROPOSER}"]
    """)
    for _ in range(2):
        done = CliRunner().invoke(deploy_app, ["--rpc", rpc, "--config", "network.toml"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert "secret" not in done.output
    deployment = Deployment.load(Path("deployment.json"))
    assert deployment.escrow == DeploymentPlan(place.config(token=token.lower()).network()).addresses["JobEscrow"]
    checked = CliRunner().invoke(deploy_app, ["--rpc", rpc, "--check", "deployment.json"], catch_exceptions=False)
    assert "each as built" in checked.output
    assert "has no admin but itself" in checked.output
    for arguments in ([], ["--config", "network.toml", "--check", "deployment.json"]):
        refused = CliRunner().invoke(deploy_app, ["--rpc", rpc, *arguments])
        assert refused.exit_code == 2
    assert CliRunner().invoke(deploy_app, ["--example"]).output == EXAMPLE


@on_anvil
def test_networks_to_play_with_come_the_same_way(place: Place) -> None:
    """What `assay up`, the demo and the tests deploy stands any check."""
    deployment = deploy(place.sender(), DEVELOPMENT, settler=SETTLER, treasury=TREASURY, beacon_anchor=ANCHOR)
    deployment.save(place.file)
    assert place.verify() == deployment
