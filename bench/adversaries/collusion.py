"""Verifiers, settlers and beacons that cheat, held against the functions that decide: rulings, seeds, openings."""

from collections.abc import Sequence
from random import Random
from typing import Any

from bench.adversaries.rows import interval
from contracts.protocol.constants import PRODUCTION
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Commitment, Opening
from contracts.protocol.rulings import OpenedAnswer, Ruling, rule
from contracts.protocol.sampling import CERTAIN, is_sampled, seed
from contracts.protocol.typed_data import agrees, answer_commit, trace_commit

VERIFIERS = 20
NODE = "0x" + "0d" * 20


def cabal(cases: int, share: float, answering: float, chance: int) -> dict[str, Any]:
    """Cases in which a part of the verifiers' stake lies in concert, and some of the honest do not answer.

    Args:
        cases: of each kind: an honest node accused, and a cheat shielded, which appeals.
        share: the most of the stake that lies.
        answering: chance that an honest verifier answers.
        chance: seed.
    """
    luck, convicted, freed, paid = Random(chance), 0, 0, 0
    for _ in range(cases):
        stakes = [PRODUCTION.min_verifier_stake_units * luck.randint(1, 5) for _ in range(VERIFIERS)]
        liars = _at_most(stakes, share, luck)
        honest = [index for index in range(VERIFIERS) if index not in liars and luck.random() < answering]
        accused, upheld = rule(_answers(stakes, liars, honest, truth_agrees=True), sum(stakes), appealed=True)
        convicted += accused is Ruling.NODE_GUILTY
        paid += upheld is not None and accused is Ruling.NODE_UPHELD
        shielded, _ = rule(_answers(stakes, liars, honest, truth_agrees=False), sum(stakes), appealed=True)
        freed += shielded is not Ruling.NODE_GUILTY
    return {
        "cases": cases,
        "stake_in_league": share,
        "honest_that_answer": answering,
        "honest_nodes_convicted": convicted,
        "liars_who_lost_their_exposure": paid,
        "cheats_freed": freed,
    }


def _at_most(stakes: Sequence[int], share: float, luck: Random) -> set[int]:
    """Verifiers in random order as long as they hold at most that part of all stake."""
    found: set[int] = set()
    for index in luck.sample(range(len(stakes)), len(stakes)):
        if sum(stakes[each] for each in (*found, index)) <= share * sum(stakes):
            found.add(index)
    return found


def _answers(
    stakes: Sequence[int], liars: set[int], honest: Sequence[int], *, truth_agrees: bool
) -> list[OpenedAnswer]:
    sides = ((liars, not truth_agrees), (honest, truth_agrees))
    return [OpenedAnswer(sum(stakes[i] for i in side), len(side), agrees=says) for side, says in sides if side]


def without_work(tries: int, chance: int) -> dict[str, Any]:
    """Verifiers that compute nothing: they guess the trace behind a commitment, or copy another's hidden answer."""
    luck, stamped, copied = Random(chance), 0, 0
    for _ in range(tries):
        trace, order_id, digest = luck.randbytes(32), luck.randbytes(32), luck.randbytes(32)
        truth = Opening(trace_hash=to_hex(trace), output_root=to_hex(luck.randbytes(32)), units=luck.randint(1, 256))
        commitment = Commitment(
            order_id=to_hex(order_id),
            node=NODE,
            output_root=truth.output_root,
            trace_commit=to_hex(trace_commit(trace, order_id, NODE)),
            units=truth.units,
        )
        guess = truth.model_copy(update={"trace_hash": to_hex(luck.randbytes(32))})
        stamped += agrees(guess, commitment)
        one, other = (to_hex(luck.randbytes(20)) for _ in range(2))
        hidden = answer_commit(truth, digest, one)
        copied += answer_commit(truth, digest, other) == hidden  # what its own opening must hash to
    return {"tries": tries, "rubber_stamps_accepted": stamped, "copied_answers_opened": copied}


def grinding(rate: float, roots: int, epochs: int, chance: int) -> dict[str, Any]:
    """A settler that tries many roots for one epoch, to keep a friend's job out of the sample.

    It may even know the coming beacon value, whose owner told it; the block hash of SEED_BLOCKS later it cannot. It
    picks the root that would be best under its guess of that hash.
    """
    luck, sampled, threshold = Random(chance), 0, int(rate * CERTAIN)
    for _ in range(epochs):
        digest, beacon, guessed, later = (luck.randbytes(32) for _ in range(4))
        candidates = [keccak(digest + number.to_bytes(4, "big")) for number in range(roots)]
        best = max(candidates, key=lambda root: keccak(seed(guessed, beacon, root) + digest))
        sampled += is_sampled(seed(later, beacon, best), digest, threshold)
    low, high = interval(sampled, epochs)
    return {"roots_tried": roots, "epochs": epochs, "check_rate": rate, "sampled": sampled, "interval": [low, high]}
