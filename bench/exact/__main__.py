"""`python -m bench.exact [PART ...]`: measures the parts (all, if none is named) and writes bench/results/exact.json.

Raw results stand in bench/results/raw/exact-PART.json with the arithmetic that they are of (golden logits, the
model file), the digest of the sources that ran, and the CPU: a part that was broken off goes on
where it stood. Nothing of another arithmetic is counted, and no speed of other sources. `gather` measures nothing.
About two hours in all on two cores, ten minutes of which build llama.cpp the first time.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.exact import exactness, models, node, peer, quality, sources, speed
from bench.report import RESULTS, Figure, write
from node_agent import execution
from node_agent.devices.probe import cpu_facts
from node_agent.execution.exact import kernels
from node_agent.execution.exact.golden import GOLDEN_LOGITS
from node_agent.models import ModelStore

PROMPTS = 1_000
TOKENS = 100_000
ENGINE, SOURCES = Path(execution.__file__).parent / "exact", ("kernels", "llama")


def arithmetic() -> dict[str, str]:
    """What decides every logit: results of two engines that share this are results of one."""
    return {"golden_logits": GOLDEN_LOGITS, "model_sha256": ModelStore().load(models.EXACT).weights_sha256}


def sources_sha256() -> str:
    """Hex digest of the sources that decide how fast the kernels are."""
    whole = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in (ENGINE / folder).iterdir()):
        if path.suffix in (".c", ".h", ".py"):
            whole.update(path.name.encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


class Raw:
    """A part's raw results."""

    def __init__(self, part: str) -> None:
        self._path, self._timed = RESULTS / "raw" / f"exact-{part}.json", part in TIMED
        cpu = {"model": cpu_facts()["model name"], "flags": " ".join(sorted(kernels.cpu_flags()))}
        self._of = {"arithmetic": arithmetic(), "sources_sha256": sources_sha256(), "cpu": cpu}

    def known(self) -> dict[str, Any]:
        """What an earlier run of this arithmetic found, and where time counts of these sources; empty if none did."""
        found: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        same = found.get("arithmetic", {}).items() >= arithmetic().items()
        if self._timed:
            same = same and found["sources_sha256"] == self._of["sources_sha256"]
        return found if same else {}

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


def measure_families(raw: Raw) -> None:
    """Families beside transformers, types of GGUF, refusals."""
    sources.measure(raw.keep, raw.known())


def measure_speed(raw: Raw) -> None:
    """Ratios, and a check's cost."""
    raw.keep(speed.measure())


def measure_node(raw: Raw) -> None:
    """Memory, first token, jobs at once, long texts."""
    raw.keep({"memory": node.memory(), "slots": node.slots(1), "contexts": node.contexts(1)})


PARTS: dict[str, Callable[[Raw], None]] = {
    "array": measure_array,
    "many": measure_many,
    "quality": measure_quality,
    "families": measure_families,
    "speed": measure_speed,
    "node": measure_node,
}
TIMED = ("speed", "node")


def figures() -> dict[str, Figure]:
    """What the raw results of this engine say; null where a part was not measured on it."""
    return exactness_figures() | sources.figures(Raw("families").known()) | speed_figures() | node_figures()


def exactness_figures() -> dict[str, Figure]:
    """Of hashes and quality."""
    array, many, near = (Raw(part).known() for part in ("array", "many", "quality"))
    hashes = {each["sha256"] for each in array.get("conditions", [])}
    worst = max(len(hashes), len(set(many.get("sha256", {}).values())))
    return {
        "distinct_hashes": Figure(worst or None, "sha256", goal=1, must=1),
        "prompts": Figure(many.get("prompts"), "prompts", goal=PROMPTS),
        "conditions": Figure(len(array.get("conditions", [])) or None, "settings", goal=12),
        "perplexity_delta_pct": Figure(near.get("perplexity_delta_pct"), "%", goal=1),
        "perplexity_tokens": Figure(near.get("tokens"), "tokens", goal=TOKENS),
        "greedy_agreement_pct": Figure(near.get("greedy_agreement_pct"), "%", goal=95),
    }


def speed_figures() -> dict[str, Figure]:
    """Ratios beside what an operator would run instead."""
    fast = Raw("speed").known()
    found = {}
    for threads, batch in speed.SETTINGS:
        ratios = fast.get("settings", {}).get(f"{threads} threads, batch {batch}", {}).get("ratios", {})
        ending = "" if threads == 1 else f"_t{threads}"
        unit = f"threads: {threads}, texts: {batch}"
        for part, word in (("write", "decode"), ("read", "prefill")):
            peers = ratios.get("llama.cpp Q8_0", {})
            name = (
                f"{word}_ratio" if batch == 1 else {"decode": "batch8_ratio", "prefill": "batch8_prefill_ratio"}[word]
            )
            goal = 1.5 if batch == 1 else None
            found[f"{name}_llamacpp_q8{ending}"] = Figure(peers.get(part), f"of llama.cpp Q8_0, {unit}", goal, must=1.0)
            for dtype in ("fp32", "bf16") if batch == 1 else ():
                value = ratios.get(f"transformers {dtype}", {}).get(part)
                found[f"{word}_ratio_{dtype}{ending}"] = Figure(value, f"of transformers {dtype}, {unit}")
    check = fast.get("check", {})
    for batch in ("1", "8"):
        found[f"verify_pct_batch{batch}"] = Figure(check.get(batch, {}).get("percent"), "% of generation")
    return found


def node_figures() -> dict[str, Figure]:
    """Of a node's process."""
    found = Raw("node").known()
    memory, jobs = found.get("memory", {}), found.get("slots", {}).get("jobs", {})
    shared = found.get("contexts", {}).get("shared", {})
    most = 1.3 * memory["model_mb"] + 100 if memory else None
    saved = {name: shared["apart_s"] / shared[name] if shared else None for name in ("in_one_batch_s", "later_s")}
    return {
        "rss_mb": Figure(memory.get("rss_mb"), "MB at most, one slot of 64 + 256", must=most),
        "first_token_s": Figure(memory.get("first_token_s"), "s after the start of the process", must=2),
        "cache_of_fp32": Figure(memory.get("cache_of_fp32"), "of keys and values in fp32", must=1 / 3),
        **{
            f"jobs{count}_ratio_llamacpp_server": Figure(
                jobs.get(str(count), {}).get("ratio"),
                "tokens a CPU second, of its server's",
                must=1.0 if count == 8 else None,
            )
            for count in node.SLOTS
        },
        **{
            f"{word}_ratio_llamacpp_q8_at_8192": Figure(
                found.get("contexts", {}).get("ratios", {}).get(part), "of llama.cpp Q8_0, at 8,192 positions"
            )
            for part, word in (("write", "decode"), ("read", "prefill"))
        },
        "shared_in_one_batch": Figure(saved["in_one_batch_s"], "times as fast: 8 texts, 480 of 512 tokens shared"),
        "shared_later": Figure(saved["later_s"], "times as fast: the same texts again"),
    }


def main() -> None:
    """Measures, gathers, prints; fails where the hashes are not one."""
    parser = argparse.ArgumentParser(prog="python -m bench.exact", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    chosen = parser.parse_args().parts or list(PARTS)
    chosen = [] if chosen == ["gather"] else chosen
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    for part in chosen:
        PARTS[part](Raw(part))
    found = figures()
    raw = {part: f"bench/results/raw/exact-{part}.json, by `python -m bench.exact {part}`" for part in PARTS}
    flags = " ".join(sorted(kernels.cpu_flags()))
    path = write("exact", "make bench-exact", found, raw=raw, peer_build=peer.BUILD, cpu_flags=flags)
    for name, one in found.items():
        shown = "not measured" if one.value is None else f"{one.value:,.4g}"
        print(f"{name:36} {shown:>14} {one.unit:48} must {one.must}, goal {one.goal}")
    print(f"written to {path.name}")
    if found["distinct_hashes"].value != 1:
        raise SystemExit("the settings do not agree in one hash")


if __name__ == "__main__":
    main()
