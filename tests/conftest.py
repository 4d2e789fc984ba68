"""Tests that share a network, a browser or a chain stay in one process when several processes run them."""

import pytest

_WHOLE_FOLDERS = ("browser",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `--dist loadgroup`: a file is a group, or its folder where one network serves it all; a marker overrides."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            folder = item.path.parent.name
            name = folder if folder in _WHOLE_FOLDERS else f"{folder}/{item.path.stem}"
            item.add_marker(pytest.mark.xdist_group(name))
