"""One host's work in a process of its own: `python -m bench.native.child HOST FOLDER [CHECKED ...]`.

Without further names it answers all its texts; with names, it checks what those hosts answered. Everything is integers
and bytes, written as JSON into FOLDER: HOST.json, or CHECKED--HOST.json.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench.native.hosts import CHEATS, HONEST, Host
from bench.native.texts import tasks
from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.kinds.float_generation import MODELS
from node_agent.execution.native.calibration import class_digest
from node_agent.execution.native.generation import generate, recheck
from node_agent.execution.native.model import NativeLlama

MODEL = "smollm2-135m"
LIMIT, BATCH = 64, 16
HOSTS = HONEST | CHEATS


def load(host: Host) -> tuple[NativeLlama, TextTokenizer]:
    """The model as its host runs it, and the tokenizer."""
    source = MODELS[MODEL]
    folder = Path.home() / ".assay" / "models" / source.weights_sha256
    model = NativeLlama.load(folder / "model.safetensors", folder / "config.json", host.settings, torch.device("cpu"))
    return model, TextTokenizer((folder / "tokenizer.json").read_bytes(), source.tokenizer_sha256)


def answers(host: Host) -> dict[str, Any]:
    """What a host answers, with its fingerprints, and its class while it is honest."""
    model, tokenizer = load(host)
    said: dict[str, Any] = {"class": class_digest(model), "settings": vars(host.settings) | {}, "texts": []}
    if host.tamper is not None:
        host.tamper(model)
    wanted = tasks(tokenizer, model.config.eos_token_id, host.texts, LIMIT, host.salt, host.ask)
    started = time.monotonic()
    for start in range(0, host.texts, BATCH):
        for run in generate(model, wanted[start : start + BATCH]):
            text = {"tokens": run.chosen, "fingerprint": run.fingerprint.hex(), "rows": run.rows_digest.hex()}
            said["texts"].append(text)
    return said | {"seconds": round(time.monotonic() - started, 1)}


def checks(host: Host, answered: dict[str, Any]) -> dict[str, Any]:
    """What a host finds when it reads another's answers."""
    model, tokenizer = load(host)
    wanted = tasks(tokenizer, model.config.eos_token_id, len(answered["texts"]), LIMIT)
    started, found = time.monotonic(), []
    for task, text in zip(wanted, answered["texts"], strict=True):
        run = recheck(model, task, text["tokens"])
        found.append(
            {
                "fingerprint": run.fingerprint.hex(),
                "margins_milli": run.margins_milli,
                "ended": task.ended(text["tokens"]),
                "temperature_milli": task.sampling.temperature_milli,
            }
        )
    return {"texts": found, "seconds": round(time.monotonic() - started, 1)}


def main() -> None:
    """See the module."""
    name, folder, checked = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    if not checked:
        (folder / f"{name}.json").write_text(json.dumps(answers(HOSTS[name])))
    for other in checked:
        found = checks(HOSTS[name], json.loads((folder / f"{other}.json").read_text()))
        (folder / f"{other}--{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
