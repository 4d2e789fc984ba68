"""The long form: walks of random moves on py-evm and Anvil side by side until so many calls were compared.

    python -m tests.differential.soak --steps 100000 --seed 1

Each walk is a list of (rule, seed) pairs, so that a walk that fails can be shortened pair by pair and run again. Fails
with the shortest walk found, or if an error of the interfaces was never seen that is not explained below.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random

from contracts.onchain.artifacts import artifact
from tests.differential.chains import Anvil, Both
from tests.differential.moves import WEIGHTS, Moves, prepare
from tests.differential.twin import Twin

RAW = Path(__file__).parents[2] / "bench" / "results" / "raw" / "contracts-differential.json"
MOVES_A_WALK = 40
Walk = list[tuple[str, int]]

UNREACHED = {
    "JobEscrow_FeeAboveOne": "constructor", "JobEscrow_SettleWaitTooShort": "constructor",
    "JobEscrow_NoticeTooShort": "constructor", "StakeManager_MissingParam": "constructor",
    "Contests_Miswired": "constructor", "Contests_ContestWindowTooShort": "constructor",
    "Contests_ChargeWindowTooShort": "constructor", "SlashingCourt_Miswired": "constructor",
    "SlashingCourt_SettleWaitTooShort": "constructor", "SlashingCourt_CaseWindowTooShort": "constructor",
    "SlashingCourt_UnbondTooShort": "constructor", "InvalidShortString": "constructor", "StringTooLong": "constructor",
    "ReentrancyGuardReentrantCall": "needs a token that calls back (test/escrow/Tokens.t.sol)",
    "SafeERC20FailedOperation": "needs a token that returns false (test/escrow/Tokens.t.sol)",
    "UnitToken_WrongAmountReceived": "needs a token that takes a fee (test/escrow/Tokens.t.sol)",
    "CheckpointUnorderedInsertion": "needs block numbers that fall",
    "StakeManager_NotLocked": "only the court unlocks and slashes, and never more than it locked",
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Walk, count, write. Returns 1 if a walk fails or an error was never seen."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=100_000, help="calls to compare, a tenth of them on both chains")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--leg", choices=("both", "anvil"), help="only this part, beside what the raw file has")
    options.add_argument("--out", type=Path, default=RAW, help="raw results")
    chosen = options.parse_args(arguments)
    legs = {"both": chosen.steps // 10, "anvil": chosen.steps - chosen.steps // 10}
    for leg in [chosen.leg] if chosen.leg else legs:
        twin, seconds, failed = run(leg, legs[leg], chosen.seed)
        if failed is not None:
            sys.stderr.write(f"{leg}, seed {chosen.seed}: {failed}\n")
            return 1
        sys.stdout.write(f"{twin.steps} calls agree on {leg}, seed {chosen.seed}\n")
        missing = write(chosen.out, leg, twin, seconds, chosen.seed)
    if missing:
        sys.stderr.write(f"errors that no call raised: {', '.join(missing)}\n")
    return 1 if missing else 0


def run(leg: str, steps: int, seed: int) -> tuple[Twin, int, str | None]:
    """One part: what was compared, in how many seconds, and what failed if something did."""
    machine = Both() if leg == "both" else Anvil()
    started = time.monotonic()
    try:
        twin = Twin(machine)
        prepare(twin)
        failed = walk_until(twin, steps, Random(f"{leg} {seed}"))
    finally:
        machine.close()
    return twin, round(time.monotonic() - started), failed


def write(out: Path, leg: str, twin: Twin, seconds: int, seed: int) -> list[str]:
    """The raw file with this part anew. Returns which errors no part has seen."""
    legs = json.loads(out.read_text())["legs"] if out.exists() else {}
    legs[leg] = {"steps": twin.steps, "seed": seed, "seconds": seconds, "seen": dict(sorted(twin.seen.items()))}
    seen = {name for part in legs.values() for name in part["seen"]}
    missing = sorted(interface_errors() - seen - UNREACHED.keys())
    raw = {
        "command": "python -m tests.differential.soak",
        "differential_steps": sum(part["steps"] for part in legs.values()),
        "errors_seen": sorted(interface_errors() & seen),
        "errors_never_seen": missing,
        "errors_out_of_reach": UNREACHED,
        "legs": legs,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(raw, indent=1) + "\n")
    return missing


def walk_until(twin: Twin, steps: int, random: Random) -> str | None:
    """Walks until so many calls were compared. What failed, if something did."""
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    told = time.monotonic()
    while twin.steps < steps:
        walk = [(name, random.getrandbits(64)) for name in random.choices(names, weights, k=MOVES_A_WALK)]
        failure = take(twin, walk)
        if failure is not None:
            shortest = shorten(twin, walk)
            return f"{take(twin, shortest)}\nwalk: {shortest}"
        if time.monotonic() - told > 60:
            told = time.monotonic()
            sys.stdout.write(f"{twin.steps} calls agree\n")
            sys.stdout.flush()
    return None


def take(twin: Twin, walk: Walk) -> AssertionError | None:
    """One walk from the start. What it fails with, if it does."""
    moves = type("Walk", (Moves,), {"twin": twin})()
    try:
        for name, seed in walk:
            getattr(moves, name)(Random(seed))
    except AssertionError as error:
        return error
    return None


def shorten(twin: Twin, walk: Walk) -> Walk:
    """Leaves out every move without which the walk still fails."""
    position = 0
    while position < len(walk):
        rest = walk[:position] + walk[position + 1 :]
        if take(twin, rest) is None:
            position += 1
        else:
            walk = rest
    return walk


def interface_errors() -> set[str]:
    """Of the four contracts and the libraries they use, by the ABIs."""
    names = ("JobEscrow", "StakeManager", "SlashingCourt", "Contests")
    return {item["name"] for name in names for item in artifact(name).abi if item["type"] == "error"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
