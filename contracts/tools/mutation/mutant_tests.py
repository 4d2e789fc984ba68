"""Runs tests on a mutant: puts its code into forge's artifacts, in a folder of their own."""

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.tools.mutation.compiler import Codes
from contracts.tools.mutation.sources import ROOT, Host

FOLDER = ROOT / "cache" / "mutation"
LIMIT_S = 180  # of the processor's time, so that a busy machine takes nothing from a run


@dataclass(frozen=True)
class Suite:
    """Which tests run, as forge's options, with how many inputs. No gas tests: mutants are compiled unoptimized."""

    choice: tuple[str, ...]
    fuzz_runs: int


QUICK = Suite(("--no-match-path", "test/{gas,invariant}/*", "--fail-fast"), fuzz_runs=16)
FULL = Suite(("--no-match-path", "test/gas/*"), fuzz_runs=256)


def whole(contracts: Sequence[str]) -> Suite:
    """All tests of these contracts, as in FULL."""
    return Suite((*FULL.choice, "--match-contract", f"^({'|'.join(contracts)})$"), FULL.fuzz_runs)


def only(tests: Sequence[str]) -> Suite:
    """These tests, given as `Contract.test`, each to its end."""
    contracts, names = ("|".join(sorted(part)) for part in map(set, zip(*(t.split(".") for t in tests), strict=True)))
    return Suite(("--match-contract", f"^({contracts})$", "--match-test", f"^({names})(\\(|$)"), fuzz_runs=64)


@dataclass(frozen=True)
class Outcome:
    """The failed tests, as `Contract.test`, or a timeout."""

    failed: list[str] = field(default_factory=list)
    timed_out: bool = False

    @property
    def killed(self) -> bool:
        return bool(self.failed) or self.timed_out


class ForgeError(Exception):
    """Forge ran no tests. The message is its output."""


class BaselineError(Exception):
    """Tests fail on the unchanged code, so a failure would say nothing about a mutant."""


class MutantTests:
    """Use one at a time per folder: the artifacts are its state."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._out = folder / "out"
        self._proven: list[Codes] = []
        memo = folder / "solc"
        memo.mkdir(parents=True, exist_ok=True)
        self._environment = os.environ | {
            "FOUNDRY_OUT": str(self._out.relative_to(ROOT)),
            "FOUNDRY_CACHE_PATH": str(folder.relative_to(ROOT)),
            "FOUNDRY_SOLC": str(Path(__file__).with_name("solc_memo.sh")),
            "SOLC_MEMO": str(memo),
        }
        forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"), None)
        if forge is None:
            raise SystemExit("forge is not installed; run `npm ci` in contracts/")
        self._forge = str(forge)

    def build(self) -> None:
        """Builds the unchanged contracts and tests. Raises CalledProcessError if forge fails."""
        subprocess.run([self._forge, "build"], cwd=ROOT, env=self._environment, check=True, stdout=subprocess.DEVNULL)

    @contextmanager
    def holding(self, codes: Codes) -> Iterator[None]:
        """Puts these codes into the artifacts meanwhile. A contract has one per profile of forge that needs it."""
        codes_at = {path: code for host, code in codes.items() for path in self._artifacts(host)}
        before = {path: path.read_text() for path in codes_at}
        try:
            for path, code in codes_at.items():
                artifact = json.loads(before[path])
                artifact["bytecode"]["object"] = code
                path.write_text(json.dumps(artifact))
            yield
        finally:
            for path, text in before.items():
                path.write_text(text)

    def _artifacts(self, host: Host) -> list[Path]:
        only = self._out / host.artifact
        return [only, *only.parent.glob(f"{host.contract}.*.json")]

    def require_green(self, codes: Codes, suite: Suite) -> None:
        """Checks once that these codes pass. Raises BaselineError."""
        if codes in self._proven:
            return
        with self.holding(codes):
            outcome = self.test(suite)
        if outcome.killed:
            raise BaselineError(f"red without any change: {', '.join(outcome.failed) or 'timed out'}")
        self._proven.append(codes)

    def test(self, suite: Suite) -> Outcome:
        """Runs the tests on the artifacts. Raises ForgeError."""
        command = [self._forge, "test", "--json", "--threads", "1", "--code-size-limit", "1000000"]
        command += suite.choice
        environment = self._environment | {"FOUNDRY_FUZZ_RUNS": str(suite.fuzz_runs)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, preexec_fn=_limit
        )
        if done.returncode == -signal.SIGXCPU:
            return Outcome(timed_out=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise ForgeError(done.stderr[-2000:] or done.stdout[-2000:])
        return Outcome(failed=_failed(json.loads(lines[-1])))


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S + 5))


def _failed(results: Any) -> list[str]:
    return [
        f"{suite.rsplit(':', 1)[1]}.{test.split('(')[0]}"
        for suite, result in results.items()
        for test, outcome in result["test_results"].items()
        if outcome["status"] == "Failure"
    ]
