"""The clock that services are given, so that tests can move it."""

from collections.abc import Callable

Clock = Callable[[], int]
"""Unix seconds."""
