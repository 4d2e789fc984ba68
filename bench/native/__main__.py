"""`python -m bench.native [STEP]`: real traces of classes and cheats, thresholds out of them, and what they catch.

collect      every host in a process of its own (an hour on one core), into the folder of traces; goes on where it stood
gather       what is kept of them: bench/results/raw/native-*.json
calibrate    thresholds out of the raw data, into contracts/protocol/native/calibrated
measure      bench/results/native.json
Without a step, all of them.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.native.child import HOSTS, MODEL
from bench.native.gather import FORGERIES, gather
from bench.native.hosts import CHEATS, CLAIMED, HONEST, VERIFIERS
from bench.native.measure import cheat, honest
from bench.native.raw import PairData, read
from bench.report import ROOT, Figure, write
from contracts.protocol.native import Thresholds, calibrate
from contracts.protocol.native.calibrated import find
from contracts.protocol.native.fingerprint import PROJECTIONS, NativeOpening

TRACES = ROOT / ".traces" / "native"
CALIBRATED = ROOT / "contracts" / "protocol" / "native" / "calibrated"


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
    return {f"{node}--{verifier}": read(f"{node}--{verifier}") for verifier, node in _pairs() if node in HONEST}


def _pairs() -> list[tuple[str, str]]:
    return [(verifier, node) for verifier, nodes in VERIFIERS.items() for node in nodes]


def recalibrate() -> list[Thresholds]:
    """Thresholds of every pair of classes, written where backend, verifiers and auditors read them."""
    found = [calibrate(data.calibrating, data.pair) for data in honest_pairs().values()]
    (CALIBRATED / f"{MODEL}.json").write_text(json.dumps([each.model_dump() for each in found], indent=2) + "\n")
    return found


def measure() -> None:
    """Every cheat under the thresholds of the class that it claims, honest work on fresh texts."""
    pairs = honest_pairs()
    fares = {name: honest(data, thresholds_of(data), jobs=1000, lives=3) for name, data in pairs.items()}
    cheats = {}
    for verifier, claimed in CLAIMED.items():
        past = pairs[f"{claimed}--{verifier}"]
        thresholds = thresholds_of(past)
        names = [f"{name}--{verifier}" for name in (*CHEATS, *(f"{name}+spoof" for name in CHEATS), *FORGERIES)]
        cheats |= {name: cheat(read(name).texts, thresholds, past.fresh) for name in names}
    write("native", "make bench-native", figures(pairs, fares, cheats), honest=fares, cheats=cheats)


def thresholds_of(data: PairData) -> Thresholds:
    """Those of a pair, as they are stored."""
    found = find(data.pair.weights_sha256, data.pair.node_class, data.pair.verifier_class)
    assert found is not None, "calibrate first"
    return found


def figures(
    pairs: dict[str, PairData], fares: dict[str, dict[str, Any]], cheats: dict[str, dict[str, Any]]
) -> dict[str, Figure]:
    """What the file's readers compare. Near: fp32 before fp32 of other instructions; far:
    bf16 before fp32, and fp32 before bf16. Of several cheats and verifiers the worst; None where some life is not
    withheld within 10,000 tokens."""
    near, far = (
        {
            bits: [cheats[f"{cheat}+spoof--{verifier}"] for cheat in names for verifier in verifiers]
            for bits, names in {"int4": ("int4", "int4-group32"), "int8": ("int8", "int8-in-fp32")}.items()
        }
        for verifiers in (("fp32-avx2",), ("fp32", "bf16"))
    )
    suspects = sum(kind["suspect"] for each in fares.values() for kind in each["fresh_texts"].values())
    return {
        "class_pairs": Figure(len(fares), "pairs"),
        "honest_checks": Figure(sum(each["checks"] for each in fares.values()), "jobs", must=100_000),
        "false_withheld": Figure(sum(each["withheld"] for each in fares.values()), "lives", must=0),
        "false_suspects": Figure(suspects, "fresh texts", must=0),
        "int4_spoof_suspect_near_pct": Figure(_suspect_pct(near["int4"]), "% of jobs of 64 tokens", goal=100),
        "int4_spoof_suspect_far_pct": Figure(_suspect_pct(far["int4"]), "% of jobs of 64 tokens", goal=100),
        "int4_spoof_withheld_near": Figure(_withheld(near["int4"]), "tokens, the worst life", goal=64),
        "int4_spoof_withheld_far": Figure(_withheld(far["int4"]), "tokens, the worst life", goal=64),
        "int8_spoof_withheld_near": Figure(_withheld(near["int8"]), "tokens, the worst life", goal=2000),
        "int8_spoof_withheld_far": Figure(_withheld(far["int8"]), "tokens, the worst life", goal=2000),
        "proof_bytes_per_token": Figure(proof_bytes_per_token(pairs.values()), "bytes", must=4),
    }


def _suspect_pct(found: list[dict[str, Any]]) -> float:
    """The part of jobs that one look is enough for, of the cheat and the verifier where it is least."""
    return round(min(100 * float(each["findings"]["suspect"]) / float(each["texts"]) for each in found), 1)


def _withheld(found: list[dict[str, Any]]) -> int | None:
    """Tokens until the last of all lives was withheld, after honest work; None where one never was."""
    after = [each["after_honest_jobs"] for each in found]
    if any(each["withheld_share"] < 1 for each in after):
        return None
    return max(each["tokens_until_withheld"]["worst"] for each in after)


def proof_bytes_per_token(pairs: Iterable[PairData]) -> float:
    """What nodes publish of these answers, one job a text: all bytes of their openings over all tokens."""
    texts = [text for data in pairs for text in data.texts]
    openings = [NativeOpening("00" * 32, bytes(32), bytes(PROJECTIONS * text.tokens)).encode() for text in texts]
    return round(sum(map(len, openings)) / sum(text.tokens for text in texts), 3)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.native")
    steps = {
        "collect": lambda: collect(said.folder),
        "gather": lambda: print("\n".join(gather(said.folder))),
        "calibrate": lambda: print("\n".join(each.model_dump_json() for each in recalibrate())),
        "measure": measure,
    }
    parser.add_argument("step", nargs="?", choices=steps, help="one of them alone")
    parser.add_argument("--folder", type=Path, default=TRACES, help="of traces")
    said = parser.parse_args()
    for name, step in steps.items():
        if said.step in (None, name):
            step()


if __name__ == "__main__":
    main()
