"""What tests on chains share."""

from collections.abc import Iterator

import pytest

from contracts.onchain import keystore


@pytest.fixture(scope="session", autouse=True)
def light_keystores() -> Iterator[None]:
    """Key files that are made in this process open at once. tests/unit/onchain/test_keystore.py holds their true cost;
    programs that tests start make them as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keystore, "ITERATIONS", 2)
        yield
