"""`python -m bench.exact [PART ...]`: measures the parts (all, if none is named) and writes bench/results/exact.json.

Raw results stand in bench/results/raw/exact-PART.json with the arithmetic that they are of (the engine's version, its
golden logits, the model file) and the digest of the sources that ran: a part that was broken off goes on where it
stood, and nothing of another arithmetic is counted. About 75 minutes in all on one core.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.exact import exactness, models, quality, speed
from bench.report import RESULTS, Figure, write
from node_agent import execution
from node_agent.execution.exact.golden import GOLDEN_LOGITS
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.models import ModelStore

PROMPTS = 1_000
TOKENS = 100_000
ENGINE = Path(execution.__file__).parent / "exact"


def arithmetic() -> dict[str, str]:
    """What decides every bit: results of two engines that share this are results of one."""
    model = ModelStore().load(models.EXACT).weights_sha256
    return {"engine_version": ExactGeneration.version, "golden_logits": GOLDEN_LOGITS, "model_sha256": model}


def sources_sha256() -> str:
    """Hex digest of the engine's sources."""
    whole = hashlib.sha256()
    for path in sorted(ENGINE.glob("*.py")):
        whole.update(path.name.encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


class Raw:
    """A part's raw results."""

    def __init__(self, part: str) -> None:
        self._path = RESULTS / "raw" / f"exact-{part}.json"
        self._of = {"arithmetic": arithmetic(), "sources_sha256": sources_sha256()}

    def known(self) -> dict[str, Any]:
        """What an earlier run of this arithmetic found; empty if there is none."""
        found = json.loads(self._path.read_text()) if self._path.exists() else {}
        return found if found.get("arithmetic") == self._of["arithmetic"] else {}

    def keep(self, found: dict[str, Any]) -> None:
        """Writes what is known now."""
        self._path.write_text(json.dumps(self._of | found, indent=1) + "\n")


def measure_array(raw: Raw) -> None:
    """The covering array."""
    raw.keep(exactness.covering_array())


def measure_many(raw: Raw) -> None:
    """Many prompts, generated and read."""
    exactness.many_prompts(PROMPTS, raw.keep, raw.known().get("segments", []))


def measure_quality(raw: Raw) -> None:
    """Perplexity and agreement."""
    quality.measure(TOKENS, raw.known().get("sums"), raw.keep)


def measure_speed(raw: Raw) -> None:
    """Ratios, and a check's cost."""
    raw.keep(speed.measure())


PARTS: dict[str, Callable[[Raw], None]] = {
    "array": measure_array,
    "many": measure_many,
    "quality": measure_quality,
    "speed": measure_speed,
}


def figures() -> dict[str, Figure]:
    """What the raw results of this engine say; null where a part was not measured on it."""
    array, many, near, fast = (Raw(part).known() for part in PARTS)
    hashes = {each["sha256"] for each in array.get("conditions", [])}
    worst = max(len(hashes), len(set(many.get("sha256", {}).values())))
    ratios, check = fast.get("ratios", {}), fast.get("check", {})
    return {
        "distinct_hashes": Figure(worst or None, "sha256", goal=1, must=1),
        "prompts": Figure(many.get("prompts"), "prompts", goal=PROMPTS),
        "conditions": Figure(len(array.get("conditions", [])) or None, "settings", goal=12),
        "perplexity_delta_pct": Figure(near.get("perplexity_delta_pct"), "%", goal=1),
        "perplexity_tokens": Figure(near.get("tokens"), "tokens", goal=TOKENS),
        "greedy_agreement_pct": Figure(near.get("greedy_agreement_pct"), "%", goal=95),
        "decode_ratio_fp32": Figure(ratios.get("decode"), "of transformers fp32", goal=0.9),
        "prefill_ratio_fp32": Figure(ratios.get("prefill"), "of transformers fp32", goal=0.6),
        "verify_pct_batch1": Figure(check.get("1", {}).get("percent"), "% of generation", goal=10),
        "verify_pct_batch8": Figure(check.get("8", {}).get("percent"), "% of generation"),
    }


def main() -> None:
    """Measures, gathers, prints; fails where the hashes are not one."""
    parser = argparse.ArgumentParser(prog="python -m bench.exact", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    for part in chosen:
        PARTS[part](Raw(part))
    found = figures()
    raw = {part: f"bench/results/raw/exact-{part}.json, by `python -m bench.exact {part}`" for part in PARTS}
    path = write("exact", "make bench-exact", found, raw=raw)
    for name, one in found.items():
        shown = "not measured" if one.value is None else f"{one.value:,.4g}"
        print(f"{name:22} {shown:>14} {one.unit:22} goal {one.goal}")
    print(f"written to {path.name}")
    if found["distinct_hashes"].value != 1:
        raise SystemExit("the settings do not agree in one hash")


if __name__ == "__main__":
    main()
