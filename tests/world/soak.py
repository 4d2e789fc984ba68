"""Whether this run is `make soak`: long forms of tests whose short form `make test` runs."""

import json
import os
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_FUZZED = Path(__file__).parents[2] / "bench" / "results" / "raw" / "escape-fuzz.json"

SOAK = os.environ.get("ASSAY_SOAK") == "1"


def short_or_long(short: T, long: T) -> T:
    """The size of a test: `short` still turns red when what the test protects is taken out."""
    return long if SOAK else short


def keep_fuzzed(**counts: int) -> dict[str, int]:
    """Adds counts of a long run to `bench/results/raw/escape-fuzz.json`; all that it then holds. Short runs: none."""
    found: dict[str, int] = json.loads(_FUZZED.read_bytes()) if _FUZZED.exists() else {}
    found |= counts
    if SOAK:
        _FUZZED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found
