"""What `assay models build` takes: families beside transformers, types of GGUF, and what it refuses.

`python -m bench.exact families` runs it: a quarter of an hour on two cores, and 8 GB of memory.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.exact import families, gguf_files, refusals
from bench.report import Figure

SAME_CHOICE, CORRELATION = 0.99, 0.999
"""The bars of a family, over its positions."""


def measure(keep: Callable[[dict[str, Any]], None], known: Mapping[str, Any]) -> None:
    """Measures what is not known yet, and keeps it case by case."""
    cases = {case["family"]: case for case in known.get("cases", [])}
    with tempfile.TemporaryDirectory() as folder:
        types = [kind for kind in gguf_files.TYPES if _reads(kind, Path(folder))]
    refused = refusals.refused()
    for name in families.CASES:
        if name not in cases:
            cases[name] = families.measure(name)
        keep({"cases": [*cases.values()], "gguf_types": types, "refused_kinds": refused})


def _reads(kind: str, folder: Path) -> bool:
    found, expected = gguf_files.type_as_read(kind, folder)
    return found.tobytes() == expected.tobytes()


def figures(found: Mapping[str, Any]) -> dict[str, Figure]:
    """Of the raw results; null where they are missing."""
    cases = found.get("cases", [])
    good = [case for case in cases if case["same_choice"] >= SAME_CHOICE and case["correlation"] >= CORRELATION]
    least = {name: min((case[name] for case in cases), default=None) for name in ("same_choice", "correlation")}
    types, refused = found.get("gguf_types"), found.get("refused_kinds")
    return {
        "families": Figure(len(good) or None, "configurations as transformers", must=len(families.CASES)),
        "families_same_choice": Figure(least["same_choice"], "of 2,000 greedy choices, least", must=SAME_CHOICE),
        "families_correlation": Figure(least["correlation"], "of logits, least", must=CORRELATION),
        "gguf_types": Figure(types and len(types), "types of GGUF, to the last bit", must=len(gguf_files.TYPES)),
        "refused_kinds": Figure(refused and len(refused), "kinds of other models", must=len(refusals.ATTEMPTS)),
    }
