"""One backend for all tests of a worker: each uses orders of its own."""

from collections.abc import Iterator

import pytest

from tests.bad_input.place import Place, open_place


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A backend that gets bad input."""
    with open_place(tmp_path_factory.mktemp("place") / "home") as found:
        yield found
