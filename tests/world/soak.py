"""Whether this run is `make soak`: long forms of tests whose short form `make test` runs."""

import json
import os
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_RAW = Path(__file__).parents[2] / "bench" / "results" / "raw"

SOAK = os.environ.get("ASSAY_SOAK") == "1"


def short_or_long(short: T, long: T) -> T:
    """The size of a test: `short` still turns red when what the test protects is taken out."""
    return long if SOAK else short


def keep_count(name: str, **counts: int) -> None:
    """Of a long run, for `bench/results/raw/<name>.json`. Short runs keep none."""
    if SOAK:
        command = f"ASSAY_SOAK=1 python -m pytest {os.environ['PYTEST_CURRENT_TEST'].split(' ')[0]}"
        text = json.dumps({"command": command, **counts}, indent=1, sort_keys=True)
        (_RAW / f"{name}.json").write_text(text + "\n")
