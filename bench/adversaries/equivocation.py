"""Two answers to one order, held against the court's model (`contracts.model`), which agrees with the contracts.

Whoever holds both commitments, the backend first of all, brings them; nothing has to be checked. What it earns is at
most the one reward that the order pays, and its work is counted as free.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from bench.adversaries.rows import interval
from contracts.model.base import Refused
from contracts.model.network import Addresses, Network, deploy
from contracts.protocol.constants import PRODUCTION
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.records import Commitment, Order, Terms
from contracts.protocol.signing import Signer, compact

REWARD = 10_000
"""maxPrice of each order, units."""

KEY = b"\7" * 32
REQUESTER = Signer(b"\x08" * 32)


@dataclass
class Operator:
    """One that stakes what its open jobs ask for, and signs twice."""

    network: Network
    node: Signer
    account: int

    def signed(self, order: Order, output: bytes) -> tuple[Commitment, bytes]:
        """A commitment to an output, with its signature."""
        domain = self.network.escrow.domain
        commitment = Commitment(
            order_id=to_hex(domain.order_id(order)),
            node=self.node.address,
            output_root=to_hex(keccak(output)),
            trace_commit=to_hex(keccak(b"trace" + output)),
            units=8,
        )
        return commitment, from_hex(self.node.sign(domain.commitment_digest(commitment)))


def twice(orders: int, chance: int) -> dict[str, Any]:
    """Orders that are answered twice, a tenth of them with one and the same answer, which is no equivocation.

    Args:
        orders: how many.
        chance: seed.
    """
    luck, slashed, caught, wrong, innocent = Random(chance), 0, 0, 0, 0
    operator = _staked(orders)
    for index in range(orders):
        order, same = _order(index), luck.random() < 0.1
        first = operator.signed(order, b"one")
        second = first if same else operator.signed(order, luck.randbytes(8))
        before = operator.network.stakes.accounts[operator.account].stake
        try:
            operator.network.court.equivocation("0x" + "aa" * 20, order, *_signature(operator, order), *first, *second)
        except Refused:
            lost = 0
        else:
            lost = before - operator.network.stakes.accounts[operator.account].stake
        wrong, innocent = wrong + (not same), innocent + same
        caught += bool(lost) and not same
        slashed += lost
    low, high = interval(caught, wrong)
    return {
        "orders_answered_twice": wrong,
        "caught": caught,
        "interval": [low, high],
        "answers_sent_again": innocent,
        "slashed_rewards_each": slashed / REWARD / max(1, caught),
        "ev_pct_of_reward": 100 * (wrong * REWARD - slashed) / (wrong * REWARD),
    }


def _staked(orders: int) -> Operator:
    names = ("token", "stakes", "escrow", "court", "contests", "minter", "settler", "treasury", "governor", "guardian")
    at = {name: to_hex(keccak(name.encode())[12:]) for name in (*names, "sink")}
    network, owner, node = deploy(Addresses(**at), PRODUCTION, 31337, bytes(32), {}), "0x" + "0e" * 20, Signer(KEY)
    account, units = network.stakes.register(owner, owner), orders * PRODUCTION.penalty_multiple * REWARD
    belongs = node.sign(network.stakes.domain.node_key_digest(owner, node.address))
    network.stakes.add_node_key(owner, node.address, from_hex(belongs))
    network.token.mint(at["minter"], owner, units * PRODUCTION.unit_wei)
    network.token.approve(owner, at["stakes"], units * PRODUCTION.unit_wei)
    network.stakes.stake(owner, account, units)
    return Operator(network, node, account)


def _signature(operator: Operator, order: Order) -> tuple[bytes, bytes]:
    """The requester's, r and vs."""
    return compact(REQUESTER.sign(operator.network.escrow.domain.order_id(order)))


def _order(index: int) -> Order:
    terms = Terms(
        workload_id=to_hex(bytes(32)), prompt_root=to_hex(bytes(32)), texts_hash=to_hex(bytes(32)), fixed_price=REWARD,
        unit_price=0, max_price=REWARD, deadline=1, salt=index,
    )  # fmt: skip
    return Order(requester=REQUESTER.address, spend_cap=REWARD, terms=terms)
