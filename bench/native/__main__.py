"""`python -m bench.native STEP`: real traces of classes and cheats, thresholds out of them, and what they catch.

collect --folder F    every host in a process of its own (half an hour on two cores; traces of some MB)
gather --folder F     what is kept of them: bench/results/raw/native-*.json
calibrate             thresholds out of the raw data, into contracts/protocol/native/calibrated
measure               bench/results/native.json
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.native.child import HOSTS, MODEL
from bench.native.gather import CLAIMED, FORGERIES, gather
from bench.native.hosts import CHEATS, HONEST, VERIFIERS
from bench.native.measure import cheat, honest
from bench.native.raw import PairData, exists, read
from bench.report import ROOT, Figure, write
from contracts.protocol.native import Thresholds, calibrate
from contracts.protocol.native.calibrated import find
from contracts.protocol.native.fingerprint import PROJECTIONS, NativeOpening

CALIBRATED = ROOT / "verifier" / "comparison" / "native" / "calibrated"


def collect(folder: Path) -> None:
    """Runs every host, then every check. Finished files are kept, so a stopped collection goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in HOSTS:
        if not (folder / f"{name}.json").exists():
            _child(name, folder)
    for verifier, nodes in VERIFIERS.items():
        for node in (node for node in nodes if not (folder / f"{node}--{verifier}.json").exists()):
            _child(verifier, folder, node)


def _child(name: str, folder: Path, *checked: str) -> None:
    command = [sys.executable, "-m", "bench.native.child", name, str(folder), *checked]
    subprocess.run(command, check=True, cwd=ROOT, env=dict(os.environ) | dict(HOSTS[name].environment))


def honest_pairs() -> dict[str, PairData]:
    """The raw data of honest work, by `NODE--VERIFIER`."""
    names = [f"{node}--{verifier}" for verifier, nodes in VERIFIERS.items() for node in nodes if node in HONEST]
    return {name: read(name) for name in names if exists(name)}


def recalibrate() -> list[Thresholds]:
    """Thresholds of every honest pair, written where the verifier reads them. One of each pair of classes."""
    found = {}
    for data in honest_pairs().values():
        one = calibrate(data.texts, data.pair)
        known = found.get((one.node_class, one.verifier_class))
        if known is None or known.tokens < one.tokens:  # two names of one class
            found[one.node_class, one.verifier_class] = one
    text = json.dumps([each.model_dump() for each in found.values()], indent=2) + "\n"
    (CALIBRATED / f"{MODEL}.json").write_text(text)
    return list(found.values())


def measure() -> None:
    """Every cheat under the thresholds of the class that it claims, honest work under those of its other half."""
    pairs = honest_pairs()
    fares = {name: honest(data, jobs=1000, lives=26) for name, data in pairs.items()}
    cheats = {}
    for verifier, claimed in CLAIMED.items():
        past = pairs[f"{claimed}--{verifier}"]
        thresholds = find(past.pair.weights_sha256, past.pair.node_class, past.pair.verifier_class)
        assert thresholds is not None, "calibrate first"
        names = [f"{name}--{verifier}" for name in (*CHEATS, *(f"{name}+spoof" for name in CHEATS), *FORGERIES)]
        cheats |= {name: cheat(read(name).texts, thresholds, past.texts) for name in names if exists(name)}
    figures = {
        "honest_checks": Figure(sum(each["checks"] for each in fares.values()), "jobs", must=100_000),
        "false_withheld": Figure(sum(each["withheld"] for each in fares.values()), "lives", must=0),
        "proof_bytes_per_token": Figure(proof_bytes_per_token(pairs.values()), "bytes", must=4),
    }
    write("native", "python -m bench.native measure", figures, honest=fares, cheats=cheats)


def proof_bytes_per_token(pairs: Iterable[PairData]) -> float:
    """What nodes publish of these answers, one job a text: all bytes of their openings over all tokens."""
    texts = [text for data in pairs for text in data.texts]
    openings = [NativeOpening("00" * 32, bytes(32), bytes(PROJECTIONS * text.tokens)).encode() for text in texts]
    return round(sum(map(len, openings)) / sum(text.tokens for text in texts), 3)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.native")
    parser.add_argument("step", choices=("collect", "gather", "calibrate", "measure"))
    parser.add_argument("--folder", type=Path, help="of traces")
    said = parser.parse_args()
    if said.step in ("collect", "gather") and said.folder is None:
        parser.error("--folder is needed")
    if said.step == "collect":
        collect(said.folder)
    elif said.step == "gather":
        print("\n".join(gather(said.folder)))
    elif said.step == "calibrate":
        print("\n".join(each.model_dump_json() for each in recalibrate()))
    else:
        measure()


if __name__ == "__main__":
    main()
