"""The long form: walks of random moves on py-evm and Anvil side by side until so many calls were compared.

    python -m tests.differential.soak --steps 100000 --seed 1

Each walk is a list of (rule, seed) pairs, so that a walk that fails can be shortened pair by pair and run again. Fails
with the shortest walk found, or if an error of the interfaces was never seen that is not explained below.
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from random import Random

from contracts.onchain.artifacts import artifact
from contracts.tools.product import src_sha256
from tests.differential.abi import CONTRACTS
from tests.differential.chains import Anvil, Both
from tests.differential.moves import WEIGHTS, Moves
from tests.differential.scene import prepare
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
    "SlashingCourt_UnbondTooShort": "constructor", "SlashingCourt_RewardAboveStake": "constructor",
    "InvalidShortString": "constructor", "StringTooLong": "constructor",
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
        failed = run(leg, legs[leg], chosen.seed, chosen.out)
        if failed is not None:
            sys.stderr.write(f"{leg}, seed {chosen.seed}: {failed}\n")
            return 1
    missing = json.loads(chosen.out.read_text())["errors_never_seen"]
    if missing:
        sys.stderr.write(f"errors that no call raised: {', '.join(missing)}\n")
    return 1 if missing else 0


def run(leg: str, steps: int, seed: int, out: Path) -> str | None:
    """One part; the raw file grows with it. What failed, if something did."""
    machine = Both() if leg == "both" else Anvil()
    started = told = time.monotonic()
    random = Random(f"{leg} {seed}")
    try:
        twin = Twin(machine)
        prepare(twin)
        while twin.steps < steps:
            failed = one_walk(twin, random)
            if failed is not None:
                return failed
            if time.monotonic() - told > 60 or twin.steps >= steps:
                told = time.monotonic()
                write(out, leg, twin, round(told - started), seed)
                sys.stdout.write(f"{twin.steps} calls agree on {leg}, seed {seed}\n")
                sys.stdout.flush()
    finally:
        machine.close()
    return None


def write(out: Path, leg: str, twin: Twin, seconds: int, seed: int) -> None:
    """The raw file with this part anew, beside what other seeds have shown of the same bytecode."""
    code = bytecode_hash()
    earlier = json.loads(out.read_text()) if out.exists() else {}
    legs = earlier["legs"] if earlier.get("bytecode_sha256") == code else {}
    legs[f"{leg}, seed {seed}"] = {"steps": twin.steps, "seconds": seconds, "seen": dict(sorted(twin.seen.items()))}
    seen = {name for part in legs.values() for name in part["seen"]}
    raw = {
        "command": "python -m tests.differential.soak",
        "src_sha256": src_sha256(),
        "bytecode_sha256": code,
        "differential_steps": sum(part["steps"] for part in legs.values()),
        "errors_seen": sorted(interface_errors() & seen),
        "errors_never_seen": sorted(interface_errors() - seen - UNREACHED.keys()),
        "errors_out_of_reach": UNREACHED,
        "legs": legs,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(raw, indent=1) + "\n")


def one_walk(twin: Twin, random: Random) -> str | None:
    """A walk of random moves. If it fails: how, and the shortest walk that does."""
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    walk = [(name, random.getrandbits(64)) for name in random.choices(names, weights, k=MOVES_A_WALK)]
    if take(twin, walk) is None:
        return None
    shortest = shorten(twin, walk)
    return f"{take(twin, shortest)}\nwalk: {shortest}"


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


def bytecode_hash() -> str:
    """Of what is compared with the model."""
    return hashlib.sha256("".join(artifact(name).bytecode for name in CONTRACTS.values()).encode()).hexdigest()


def interface_errors() -> set[str]:
    """Of the four contracts and the libraries they use, by the ABIs."""
    names = ("JobEscrow", "StakeManager", "SlashingCourt", "Contests")
    return {item["name"] for name in names for item in artifact(name).abi if item["type"] == "error"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
