"""The model and the contracts agree on every call of random sequences, on py-evm and on Anvil."""

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.differential.chains import Both, PyEvm
from tests.differential.moves import Moves
from tests.differential.scene import prepare
from tests.differential.soak import shorten, take
from tests.differential.twin import CONSTANTS, Disagreement, Twin
from tests.world.soak import short_or_long


def test_modelAndContracts_agreeOnPyEvm() -> None:
    """Covers: A14, A15, A16, A19, A20, A24, A25, A35, A36, A40. Every result, error, event and balance of each call."""
    twin = Twin(PyEvm())
    prepare(twin)
    drive(twin, examples=short_or_long(40, 400), steps=30)
    assert twin.steps > 800


def test_modelAndContracts_agreeOnPyEvmAndAnvil() -> None:
    """The same with Anvil beside py-evm: one transaction, one outcome, on both."""
    both = Both()
    try:
        twin = Twin(both)
        prepare(twin)
        drive(twin, examples=short_or_long(15, 150), steps=30)
    finally:
        both.close()
    assert twin.steps > 400


def test_aModelThatIsOff_disagreesAndTheWalkIsShortened() -> None:
    """The comparison can fail: a fee of one basis point more is noticed, and what leads to it is all that is left."""
    twin = Twin(PyEvm())
    prepare(twin)
    dearer = CONSTANTS.model_copy(update={"fee_bps": CONSTANTS.fee_bps + 1})
    twin.net.escrow.constants = dearer
    twin.mark()
    for seed_ in range(50):
        walk = [(name, seed_) for name in ("donate", "whole_epoch", "account")]
        failure = take(twin, walk)
        if failure is not None:
            break
    assert isinstance(failure, Disagreement)
    assert shorten(twin, walk) == [("whole_epoch", seed_)]


def drive(twin: Twin, examples: int, steps: int, seed_: int = 1) -> None:
    """So many sequences of at most so many rules each."""
    moves = seed(seed_)(type("Sequence", (Moves,), {"twin": twin}))
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    run_state_machine_as_test(moves, settings=chosen)
