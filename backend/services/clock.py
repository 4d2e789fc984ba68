"""The clock that services are given: never their own, so that tests can move it."""

from collections.abc import Callable

Clock = Callable[[], int]
"""Unix seconds."""
