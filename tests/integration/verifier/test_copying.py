"""The court against those who copy."""

import pytest

from contracts.onchain.errors import Reverted
from contracts.onchain.structs import commitment_tuple, leaf_proof, order_tuple
from contracts.protocol.hashing import from_hex
from contracts.protocol.typed_data import answer_commit
from tests.integration.verifier.network import HashEngine, Network
from tests.integration.verifier.test_audit import read_log


def test_a_copied_answer_cannot_be_opened(network: Network) -> None:
    """A verifier that commits its neighbour's bytes, then shows its neighbour's opening, is refused. Covers: A13"""
    cheap = network.job("one", engine=HashEngine(b"cheap"))
    network.post([cheap])
    entry = network.verdict(1, cheap, 0)
    opening = entry.opening
    assert opening is not None
    court, commitment = network.chain.court.functions, commitment_tuple(cheap.commitment.commitment)
    hidden = answer_commit(opening, cheap.row.digest, network.verifiers[0].address)
    proof, signature = leaf_proof(1, 0, read_log(network, 1).leaves), from_hex(cheap.commitment.signature)
    network.call(
        network.verifiers[0], court.openCase(proof, order_tuple(cheap.order.order), commitment, signature, hidden)
    )
    case_id = court.caseIdOf(proof).call()
    network.call(network.verifiers[1], court.commitVerdict(case_id, hidden))
    network.wait(network.deployment.constants.commit_window_s)
    answer = (proof, commitment, from_hex(opening.trace_hash), from_hex(opening.output_root), opening.units)
    network.call(network.verifiers[0], court.reveal(*answer))
    with pytest.raises(Reverted, match="SlashingCourt_NotCommitted"):
        network.call(network.verifiers[1], court.reveal(*answer))
    late = court.commitVerdict(case_id, answer_commit(opening, cheap.row.digest, network.verifiers[2].address))
    with pytest.raises(Reverted, match="SlashingCourt_OutsideWindow"):
        network.call(network.verifiers[2], late)
