"""The model and the contracts agree on every call of random sequences, on py-evm and on Anvil."""

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.differential.chains import Both, PyEvm
from tests.differential.moves import Moves, prepare
from tests.differential.twin import Twin


def test_modelAndContracts_agreeOnPyEvm() -> None:
    """Covers: A14, A15, A16, A19, A20, A24, A25, A35, A36, A40. Every result, error, event and balance of each call."""
    twin = Twin(PyEvm())
    prepare(twin)
    drive(twin, examples=40, steps=30)
    assert twin.steps > 800


def test_modelAndContracts_agreeOnPyEvmAndAnvil() -> None:
    """The same with Anvil beside py-evm: one transaction, one outcome, on both."""
    both = Both()
    try:
        twin = Twin(both)
        prepare(twin)
        drive(twin, examples=15, steps=30)
    finally:
        both.close()
    assert twin.steps > 400


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
