"""The probes, tried outside, in the floor alone, and in both layers: once for each user, for all tests."""

import os

import pytest

from tests.escape.cage import NOBODY, other_user
from tests.escape.rules import Cages, look


@pytest.fixture(scope="package", params=["root", "ordinary user"])
def cages(request: pytest.FixtureRequest) -> Cages:
    """Of root, and of a user that is not; skipped in words where these tests can be only one of them."""
    if request.param == "root" and os.getuid() != 0:
        pytest.skip("these tests do not run as root")
    user = 0 if request.param == "root" else os.getuid() or NOBODY
    if user == NOBODY and (why := other_user()):
        pytest.skip(why)
    return look(user)
