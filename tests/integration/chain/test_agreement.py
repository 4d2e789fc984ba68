"""The Python agreement against the deployed contracts: the same digests, the same domain."""

import random

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import deploy
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import from_hex
from contracts.protocol.records import Commitment, LaneGrant, Order, Terms, Verdict
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import terms_hash
from contracts.vectors.make import Maker
from deploy.localnet.chain.embedded import MNEMONIC

pytestmark = pytest.mark.chain
CASES = 25


def deployed(w3: Rpc) -> Chain:
    Account.enable_unaudited_hdwallet_features()
    sender = Sender(w3, Signer(bytes(Account.from_mnemonic(MNEMONIC).key)))
    somebody = "0x" + "51" * 20
    return Chain(w3, deploy(sender, DEVELOPMENT, settler=somebody, treasury=somebody, beacon_anchor="0x" + "11" * 32))


def solidity_terms(t: Terms) -> tuple[object, ...]:
    hashes = (from_hex(t.workload_id), from_hex(t.prompt_root), from_hex(t.texts_hash))
    params = (t.params.max_new_tokens, t.params.temperature_milli, t.params.top_p_ppm, t.params.seed)
    kinds = (t.comparator, t.copies, t.visibility)
    return (*hashes, params, *kinds, t.fixed_price, t.unit_price, t.max_price, t.deadline, t.salt)


def test_digests_are_what_the_contract_computes(w3: Rpc) -> None:
    """Protects: a signature made in Python that the chain reads as somebody else's. Covers: A18"""
    chain = deployed(w3)
    domain, escrow, call = chain.deployment.domain, chain.escrow.functions, chain.contests.functions
    maker = Maker(random.randrange(2**32))
    assert escrow.domainSeparator().call() == domain.separator
    for _ in range(CASES):
        terms = maker.terms()
        order = Order(requester=maker.address(), spend_cap=maker.uint(2**64 - 1), terms=terms)
        struct = (to_checksum_address(order.requester), order.spend_cap, solidity_terms(terms))
        assert call.hashTerms(solidity_terms(terms)).call() == terms_hash(terms)
        assert call.hashOrder(struct).call() == domain.order_id(order)
        commitment = Commitment(
            order_id=maker.hex32(),
            node=maker.address(),
            output_root=maker.hex32(),
            trace_commit=maker.hex32(),
            units=maker.uint(2**32 - 1),
        )
        assert call.hashCommitment(
            (
                from_hex(commitment.order_id),
                to_checksum_address(commitment.node),
                from_hex(commitment.output_root),
                from_hex(commitment.trace_commit),
                commitment.units,
            )
        ).call() == domain.commitment_digest(commitment)
        verdict = Verdict(commitment_digest=maker.hex32(), verifier=maker.address(), answer_commit=maker.hex32())
        assert call.hashVerdict(
            (
                from_hex(verdict.commitment_digest),
                to_checksum_address(verdict.verifier),
                from_hex(verdict.answer_commit),
            )
        ).call() == domain.verdict_digest(verdict)
    grant = LaneGrant(
        requester=maker.address(), signer=maker.address(), amount=maker.uint(2**64 - 1), expiry=maker.uint(2**32 - 1),
        nonce=maker.uint(2**256 - 1),
    )  # fmt: skip
    assert escrow.hashLaneGrant(
        to_checksum_address(grant.requester), to_checksum_address(grant.signer), grant.amount, grant.expiry, grant.nonce
    ).call() == domain.lane_grant_digest(grant)
    owner, node = to_checksum_address(maker.address()), to_checksum_address(maker.address())
    assert chain.stakes.functions.hashNodeKey(owner, node).call() == chain.deployment.stake_domain.node_key_digest(
        owner, node
    )
