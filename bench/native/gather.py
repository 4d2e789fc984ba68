"""From what the hosts said (a folder of traces, megabytes) to the raw data of pairs that is kept.

A cheat claims to be of a class that it is not checked by (`hosts.CLAIMED`). Beside what it computed, each cheat is
also shown as a *prefill spoof* (`NAME+spoof`): its tokens with the fingerprint that an honest host of the claimed class
gets from one pass over them. Three forgeries need no model at all.
"""

import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.native import raw
from bench.native.child import BATCH, LIMIT, MODEL
from bench.native.hosts import CALIBRATING, CHEATS, CLAIMED, HONEST, VERIFIERS
from bench.report import commit
from contracts.protocol.native.fingerprint import CIRCLE
from node_agent.execution.kinds.float_generation import MODELS

Said = dict[str, Any]
COMMAND = "make bench-native"

FORGED = 32
"""Texts of each forgery."""

FORGERIES: dict[str, Callable[[list[bytes], int], bytes]] = {
    "constant": lambda texts, index: bytes([77]) * len(texts[index]),
    "sign-flip": lambda texts, index: bytes(-byte % CIRCLE for byte in texts[index]),
    "replayed": lambda texts, index: (texts[index - 1] * 64)[: len(texts[index])],
}
"""Fingerprints out of a claimed class's honest ones, by text: their own answer's, or another's."""


def gather(folder: Path) -> list[str]:
    """Writes the file of every pair whose traces are there, and returns their names."""
    names = []
    for verifier, nodes in VERIFIERS.items():
        there = tuple(node for node in nodes if (folder / f"{node}--{verifier}.json").exists())
        for name, node_class, texts in _pairs(folder, verifier, there):
            raw.write(f"{name}--{verifier}", _head(folder, name, verifier, node_class), texts)
            names.append(f"{name}--{verifier}")
    return names


def _pairs(folder: Path, verifier: str, nodes: tuple[str, ...]) -> Iterator[tuple[str, str, list[Said]]]:
    claimed = CLAIMED.get(verifier)
    for node in nodes:
        seen, own = _read(folder, f"{node}--{verifier}"), _fingerprints(_read(folder, node))
        if node in HONEST:
            yield node, node, _texts(own, seen)
        if node == claimed:
            for name, forge in FORGERIES.items():
                yield name, claimed, _texts([forge(own, index) for index in range(len(own))], seen)[:FORGED]
        if node in CHEATS and claimed is not None:
            yield node, claimed, _texts(own, seen)
            if (folder / f"{node}--{claimed}.json").exists():
                spoof = _fingerprints(_read(folder, f"{node}--{claimed}"))
                yield f"{node}+spoof", claimed, _texts(spoof, seen)


def _fingerprints(said: Said) -> list[bytes]:
    return [bytes.fromhex(text["fingerprint"]) for text in said["texts"]]


def _texts(fingerprints: list[bytes], seen: Said) -> list[Said]:
    """As many texts as both have looked at."""
    return [
        raw.text_record(node, bytes.fromhex(text["fingerprint"]), text["margins_milli"], text["ended"])
        for node, text in zip(fingerprints, seen["texts"], strict=False)
    ]


def _head(folder: Path, name: str, verifier: str, node_class: str) -> Said:
    claimed, checking = _read(folder, node_class), _read(folder, verifier)
    return {
        "node": name,
        "claims": node_class,
        "verifier": verifier,
        "model": MODEL,
        "weights_sha256": MODELS[MODEL].weights_sha256,
        "node_class": claimed["class"],
        "verifier_class": checking["class"],
        "node_settings": claimed["settings"] | {"environment": dict(HONEST[node_class].environment)},
        "verifier_settings": checking["settings"] | {"environment": dict(HONEST[verifier].environment)},
        "calibrating_texts": CALIBRATING,
        "new_tokens": LIMIT,
        "batch": BATCH,
        "command": COMMAND,
        "commit": commit(),
        "machine": f"{platform.machine()}, {_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _read(folder: Path, name: str) -> Said:
    found: Said = json.loads((folder / f"{name}.json").read_text())
    return found
