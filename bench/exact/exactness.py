"""One hash: a covering array of settings over the same prompts, and many prompts generated and read again.

Settings run in processes of their own, since instruction sets are chosen at start. Of any two factors, every pair of
values occurs in some setting (a covering array of strength two); only the way that generates makes the answers that
the others read.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.exact import models
from bench.exact.condition import Condition

CONDITIONS = tuple(
    Condition(*row)
    for row in (
        (1, "1", "avx512", "int8", "decode"),
        (1, "1", "avx512", "fp32", "chunks"),
        (1, "4", "avx2", "fp64", "chunks"),
        (1, "4", "avx512", "int8", "prefill"),
        (1, "8", "avx2", "int8", "chunks"),
        (1, "8", "default", "fp64", "decode"),
        (1, "ragged", "avx2", "fp32", "decode"),
        (1, "ragged", "avx512", "fp64", "prefill"),
        (2, "1", "avx2", "int8", "prefill"),
        (2, "1", "default", "fp64", "prefill"),
        (2, "4", "default", "fp32", "decode"),
        (2, "8", "avx512", "fp32", "prefill"),
        (2, "ragged", "default", "int8", "chunks"),
        (1, "1", "default", "kernels", "decode"),
        (2, "4", "avx2", "kernels", "chunks"),
        (1, "8", "avx512", "kernels", "prefill"),
        (2, "ragged", "avx512", "kernels", "decode"),
    )
)
PROMPTS, NEW = 12, 16
CONTEXTS = (2048, 4096, 6000, 8192)
"""To the short prompts come others, each as long as leaves room for its answer within these."""

LIMITED = ("fp32", "fp64")
"""Where torch's libraries are held to the same instructions; int8 is not exact then, and no node would use it."""

FULL_NEW, SEGMENT = 64, 100
FULL_WAYS = (Condition(1, "ragged", "avx512", "int8", "decode"), Condition(1, "8", "avx2", "fp32", "prefill"))
"""How the many prompts are answered, and how they are read again: other products, instructions, order and company."""


def covering_array() -> dict[str, Any]:
    """What each setting found over the same prompts."""
    prompts = [*models.prompts(PROMPTS), *(models.english()[: longest - NEW] for longest in CONTEXTS)]
    rows, answers = [], None
    for condition in CONDITIONS:
        found = _in_process(condition, {"prompts": prompts, "new": NEW, "answers": answers})
        answers = answers or found["answers"]
        rows.append(asdict(condition) | {"sha256": _digest(found["texts"]), "texts": found["texts"]})
        _say(f"{rows[-1]['sha256'][:16]}  {asdict(condition)}")
    return {"prompts": len(prompts), "new_tokens": NEW, "contexts": CONTEXTS, "conditions": rows}


def many_prompts(count: int, keep: Callable[[dict[str, Any]], None], known: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Answer and read `count` prompts, a segment at a time.

    Args:
        count: how many prompts.
        keep: is given what is known after each segment.
        known: segments of an earlier run over the same prompts, which are not run again.
    """
    prompts = models.prompts(count)
    segments = list(known)
    for start in range(len(segments) * SEGMENT, count, SEGMENT):
        some = prompts[start : start + SEGMENT]
        generate, read = FULL_WAYS
        made = _in_process(generate, {"prompts": some, "new": FULL_NEW})
        again = _in_process(read, {"prompts": some, "answers": made["answers"]})
        found = {"generated": _digest(made["texts"]), "read": _digest(again["texts"])}
        segments.append({"prompts": len(made["texts"])} | found)
        _say(f"{start + len(some)} prompts: {found}")
        keep(_summary(segments))
    return _summary(segments)


def _summary(segments: Sequence[dict[str, Any]]) -> dict[str, Any]:
    whole = {way: _digest([each[way] for each in segments]) for way in ("generated", "read")}
    return {
        "prompts": sum(each["prompts"] for each in segments),
        "new_tokens": FULL_NEW,
        "ways": dict(zip(("generated", "read"), map(asdict, FULL_WAYS), strict=True)),
        "sha256": whole,
        "segments": list(segments),
    }


def _digest(texts: Sequence[str]) -> str:
    """Of all texts' fingerprints, in order."""
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def _in_process(condition: Condition, work: dict[str, Any]) -> dict[str, Any]:
    """A setting's answer. Raises SystemExit where this machine lacks its instructions."""
    environment = os.environ | {"ATEN_CPU_CAPABILITY": condition.instructions}
    if condition.products in LIMITED and condition.instructions == "avx2":
        environment |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work.json"
        path.write_text(json.dumps(work))
        command = [sys.executable, "-m", "bench.exact.condition", json.dumps(asdict(condition)), str(path)]
        run = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(run.stdout)
    if found["capability"].lower() != condition.instructions:
        raise SystemExit(f"this machine ran {found['capability']} instead of {condition.instructions}")
    if len(found["texts"]) != len(work["prompts"]):
        raise SystemExit(f"{len(found['texts'])} of {len(work['prompts'])} texts came back")
    return found


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
