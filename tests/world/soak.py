"""Whether this run is `make soak`: long forms of tests whose short form `make test` runs."""

import os
from typing import TypeVar

T = TypeVar("T")

SOAK = os.environ.get("ASSAY_SOAK") == "1"


def short_or_long(short: T, long: T) -> T:
    """The size of a test: `short` still turns red when what the test protects is taken out."""
    return long if SOAK else short
