"""Properties of the pure protocol, over random values."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import MalformedEpoch, NotCanonical
from contracts.protocol.hashing import keccak
from contracts.protocol.log import RowEntry, dump_line, log_root, parse_line
from contracts.protocol.merkle import Row, merkle_proof, merkle_root, merkle_verify
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, pack, unpack
from contracts.protocol.records import U48, U64, Commitment, Opening, Terms
from contracts.protocol.sampling import CERTAIN, Deterrence, draw_verifiers, is_sampled, least_threshold
from contracts.protocol.signing import Signer, recover
from contracts.protocol.typed_data import Domain, agrees, answer_commit, trace_commit

BYTES32 = st.binary(min_size=32, max_size=32)
ADDRESS = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
CONSTANTS = Deterrence(
    honest_cost_ppm=800_000, cheat_cost_ppm=100_000, detection_ppm=1_000_000, collusion_ppm=300_000, false_alarm_ppm=0
)


@st.composite
def epochs(draw: st.DrawFn) -> Epoch:
    operators = draw(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=5, unique=True))
    groups = []
    for _ in range(draw(st.integers(1, 5))):
        requester, signer = draw(ADDRESS), draw(ADDRESS)
        proof = draw(st.none() | st.builds(CapProof, st.integers(1, U64), BYTES32, BYTES32, BYTES32))
        row = st.builds(
            Row, st.just(requester), st.just(signer), st.sampled_from(operators), st.integers(0, U48), BYTES32
        )
        groups.append(LaneGroup(requester, signer, proof, tuple(draw(st.lists(row, min_size=1, max_size=6)))))
    count = sum(len(group.rows) for group in groups)
    return Epoch(tuple(groups), draw(st.frozensets(st.integers(0, count - 1))))


@given(epochs())
def test_unpacking_a_packed_epoch_gives_it_back(epoch: Epoch) -> None:
    """Protects: an epoch whose calldata tells another story than its records."""
    assert unpack(pack(epoch), len(epoch.rows)) == epoch


@given(epochs(), st.data())
def test_a_cut_or_longer_epoch_is_refused(epoch: Epoch, data: st.DataObject) -> None:
    """Protects: bytes that a lenient reader would accept and the contract would not."""
    packed, count = pack(epoch), len(epoch.rows)
    with pytest.raises(MalformedEpoch):
        unpack(packed[: data.draw(st.integers(0, len(packed) - 1))], count)
    with pytest.raises(MalformedEpoch):
        unpack(packed + data.draw(st.binary(min_size=1, max_size=8)), count)


@given(st.lists(BYTES32, min_size=1, max_size=40), st.data())
def test_every_leaf_has_a_proof_and_no_inner_node_passes_for_one(leaves: list[bytes], data: st.DataObject) -> None:
    """Covers: A24"""
    root = merkle_root(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    siblings = merkle_proof(leaves, index)
    assert merkle_verify(leaves[index], index, len(leaves), siblings, root)
    if siblings:
        other = keccak(leaves[index] + siblings[0])
        assert not merkle_verify(other, index, len(leaves), siblings, root)
        assert not merkle_verify(leaves[index], index, len(leaves), siblings[:-1], root)


@given(st.integers(1, 10**9), st.integers(0, 10**10), st.integers(1, 10))
def test_the_least_rate_makes_cheating_on_everything_a_loss(exposure: int, stake: int, multiple: int) -> None:
    """p (d(1-q) - f)(R + kR) >= (C - C') R for the exposure, in exact integers. Covers: A02"""
    threshold = least_threshold(CONSTANTS, stake_units=stake, exposure_units=exposure, penalty_multiple=multiple)
    at_stake = min(stake, multiple * exposure)
    if threshold < CERTAIN:
        loss = threshold * 700_000 * (exposure + at_stake)
        assert loss >= 700_000 * exposure * CERTAIN
        assert loss - 700_000 * (exposure + at_stake) < 700_000 * exposure * CERTAIN, "no more checks than needed"


def test_a_stakeless_operator_is_always_checked() -> None:
    """Covers: A02"""
    assert least_threshold(CONSTANTS, stake_units=0, exposure_units=5, penalty_multiple=9) == CERTAIN
    assert is_sampled(bytes(32), bytes(32), CERTAIN)


@settings(max_examples=30)
@given(BYTES32)
def test_the_sample_has_the_rate_it_is_asked_for(seed: bytes) -> None:
    """Protects: a selection that is not uniform. 2,000 digests at p = 1/2 stay within 5 standard deviations."""
    hits = sum(is_sampled(seed, keccak(i.to_bytes(4, "big")), CERTAIN // 2) for i in range(2000))
    assert abs(hits - 1000) < 5 * 22.4


@given(BYTES32, BYTES32, st.dictionaries(st.integers(1, 50), st.integers(0, 10**12), max_size=8))
def test_the_draw_orders_every_staked_verifier_once(seed: bytes, digest: bytes, stakes: dict[int, int]) -> None:
    """Protects: a verifier without stake on duty, or one left out."""
    order = draw_verifiers(seed, digest, stakes)
    assert sorted(order) == sorted(account for account, stake in stakes.items() if stake > 0)


def test_the_first_draw_is_in_proportion_to_stake() -> None:
    """Protects: a draw that stake does not weigh: 3 : 1 within 5 standard deviations over 4,000 draws."""
    first = [draw_verifiers(bytes(32), keccak(i.to_bytes(4, "big")), {1: 3, 2: 1})[0] for i in range(4000)]
    assert abs(first.count(1) - 3000) < 5 * 27.4


@given(BYTES32, BYTES32, BYTES32, st.integers(0, 2**32 - 1), ADDRESS, ADDRESS)
def test_an_answer_is_bound_to_verifier_and_order(
    trace: bytes, output: bytes, order_id: bytes, units: int, node: str, other: str
) -> None:
    """Who copies a commitment or an answerCommit holds the pre-image of nothing. Covers: A13"""
    opening = Opening(trace_hash="0x" + trace.hex(), output_root="0x" + output.hex(), units=units)
    commitment = Commitment(
        order_id="0x" + order_id.hex(),
        node=node,
        output_root="0x" + output.hex(),
        trace_commit="0x" + trace_commit(trace, order_id, node).hex(),
        units=units,
    )
    assert agrees(opening, commitment)
    assert not agrees(opening.model_copy(update={"units": units ^ 1}), commitment)
    if other != node:
        assert not agrees(opening, commitment.model_copy(update={"node": other}))
        assert answer_commit(opening, output, node) != answer_commit(opening, output, other)


@given(st.integers(1, 2**62), st.integers(1, 2**62), ADDRESS, ADDRESS, BYTES32)
def test_a_signature_counts_on_one_chain_and_contract_only(
    chain: int, other_chain: int, escrow: str, other_escrow: str, struct_hash: bytes
) -> None:
    """Covers: A17, A18"""
    signer = Signer(keccak(b"somebody"))
    signature = signer.sign(Domain(chain, escrow).digest(struct_hash))
    assert recover(Domain(chain, escrow).digest(struct_hash), signature) == signer.address
    if (chain, escrow) != (other_chain, other_escrow):
        assert recover(Domain(other_chain, other_escrow).digest(struct_hash), signature) != signer.address


def test_canonical_json_has_one_spelling_and_no_floats() -> None:
    """Protects: two spellings of one manifest, hence two names."""
    assert canonical_json({"b": [1, True, None], "a": "é"}) == '{"a":"é","b":[1,true,null]}'.encode()
    with pytest.raises(NotCanonical, match=r"\$\.a\[1\]: 0\.5"):
        canonical_json({"a": [1, 0.5]})
    with pytest.raises(NotCanonical, match="UTF-8"):
        canonical_json("\ud800")


@given(st.integers(0, 2**32 - 1), ADDRESS, ADDRESS, st.integers(0, U48), BYTES32)
def test_a_log_line_parses_back_and_no_other_spelling_does(
    index: int, requester: str, signer: str, amount: int, digest: bytes
) -> None:
    """Covers: A46"""
    entry = RowEntry(
        index=index, requester=requester, signer=signer, operator_id=1, amount_units=amount, digest="0x" + digest.hex()
    )
    line = dump_line(entry)
    assert parse_line(line) == entry
    with pytest.raises(NotCanonical):
        parse_line(line.replace(b":", b": ", 1))
    assert log_root([line]) != log_root([line.replace(b'"operator_id":1', b'"operator_id":2')])


def test_terms_refuse_booleans_floats_and_numbers_out_of_range() -> None:
    """Protects: `false` where an integer stands, negative and 2^64 numbers."""
    good = dict(
        workload_id="0x" + "00" * 32, prompt_root="0x" + "00" * 32, texts_hash="0x" + "00" * 32,
        fixed_price=1, unit_price=1, max_price=1, deadline=1, salt=1,
    )  # fmt: skip
    Terms.model_validate(good)
    for bad in (False, 1.0, "1", -1, 2**64, None):
        with pytest.raises(ValueError, match="max_price"):
            Terms.model_validate({**good, "max_price": bad})
