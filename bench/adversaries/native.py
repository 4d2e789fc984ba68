"""The native comparator beside plain equality of outputs, over the same traces (`python -m bench.native`).

Where a verifier of another class would have chosen another token anywhere, its output has another hash: who compares
outputs rejects that text, whoever wrote it.
"""

import json
from typing import Any

from bench.native import raw
from bench.report import RESULTS


def summary() -> dict[str, Any]:
    """Honest work and each cheat: what the comparator says of it, and what plain equality would."""
    measured = json.loads((RESULTS / "native.json").read_text())
    honest = {name: found | _plain(name) for name, found in measured["honest"].items()}
    cheats = {name: found | _plain(name) for name, found in measured["cheats"].items()}
    return {"honest": honest, "cheats": cheats, "proof_bytes_per_token": _value(measured, "proof_bytes_per_token")}


def _plain(pair: str) -> dict[str, float]:
    texts = raw.read(pair).texts
    differ = sum(any(text.margins_milli) for text in texts)
    return {"other_output_pct": 100 * differ / len(texts), "texts_compared": len(texts)}


def _value(measured: dict[str, Any], name: str) -> float:
    return float(measured["figures"][name]["value"])
