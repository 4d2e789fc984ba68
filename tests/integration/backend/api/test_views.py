"""The chain view's adapter says what its fake says, on real contracts."""

import pytest
from eth_utils.address import to_checksum_address

from backend.chain.views import ChainView, OnChainView, OperatorAccount
from contracts.protocol.lane import Lane
from tests.integration.backend.api.coordinator import KEYS, Coordinator
from tests.world.anvil import pass_time
from tests.world.fakes import FakeChainView

pytestmark = pytest.mark.chain
ALICE, NODE, OWNER = KEYS["alice"].address, KEYS["node"].address, KEYS["owner"].address


def expected() -> FakeChainView:
    """What follows from the calls of the test."""
    return FakeChainView(
        lanes={(ALICE, ALICE): Lane(balance=5_000), (ALICE, OWNER): Lane(expiry=2_000_000_000)},
        nodes={NODE: 1},
        operators={1: OperatorAccount(stake=700)},
    )


def check(view: ChainView) -> None:
    """The questions, with the answers that `expected` gives."""
    fake = expected()
    for requester, signer in ((ALICE, ALICE), (ALICE, OWNER), (OWNER, OWNER)):
        assert view.lane(requester, signer) == fake.lane(requester, signer)
    for key in (NODE, OWNER):
        assert view.operator_of(key) == fake.operator_of(key)
        assert view.active_verifier(key) == fake.active_verifier(key)
    for operator_id in (1, 2):
        assert view.operator(operator_id) == fake.operator(operator_id)
    assert view.is_guilty("0x" + "ab" * 32) is False


def test_fake_and_chain_agree(running: Coordinator) -> None:
    """Protects every unit test that stands on the fake."""
    wallet = running.wallet()
    wallet.deposit(5_000)
    wallet.open_lane(OWNER, 2_000_000_000)
    running.register_node(stake_units=700)
    check(OnChainView(running.chain))
    check(expected())


def test_answers_are_kept_for_a_moment_but_lanes_never(running: Coordinator) -> None:
    """Protects the endpoint from a call a request, and money from stale balances."""
    now = [100.0]
    view = OnChainView(running.chain, keep_s=0.5, clock=lambda: now[0])
    assert view.operator_of(NODE) == 0
    running.register_node(stake_units=0)
    running.wallet().deposit(100)
    assert view.lane(ALICE, ALICE).balance == 100
    running.wallet().deposit(100)
    assert view.lane(ALICE, ALICE).balance == 200
    now[0] += 0.4
    assert view.operator_of(NODE) == 0
    now[0] += 0.2
    assert view.operator_of(NODE) == 1


def test_verifier_is_active_while_admitted_and_staked(running: Coordinator) -> None:
    """Protects the fees from keys whose account is not admitted."""
    owner, stakes = running.sender("owner"), running.chain.stakes.functions
    owner.call(stakes.register(owner.address))
    view = OnChainView(running.chain, keep_s=0.0)
    assert view.active_verifier(NODE) == 0
    minimum = running.chain.deployment.constants.min_verifier_stake_units
    wei = minimum * running.chain.deployment.constants.unit_wei
    owner.call(running.chain.token.functions.approve(running.chain.stakes.address, wei))
    owner.call(stakes.stake(1, minimum))
    admit(running, 1, NODE)
    assert view.active_verifier(NODE) == 1
    owner.call(stakes.unbond(1))
    assert view.active_verifier(NODE) == 0


def admit(running: Coordinator, account_id: int, key: str) -> None:
    """What the governor does: propose, wait, execute."""
    deployer, chain = running.sender("deployer"), running.chain
    data = chain.stakes.encode_abi("admitVerifier", [account_id, to_checksum_address(key)])
    call = (chain.stakes.address, 0, data, b"\0" * 32, b"\0" * 32)
    deployer.call(chain.governor.functions.schedule(*call, chain.deployment.constants.timelock_s))
    pass_time(chain.w3, 2)
    deployer.call(chain.governor.functions.execute(*call))
