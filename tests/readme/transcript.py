"""Transcripts in README: what a reader is told to type, and what it is told to see.

A fenced block marked `console` holds commands after `$ ` and, under each, lines of its output; `...` stands for
anything, within a line and, alone, for any lines. What is run is what is printed there, in one shell a section.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_MARK = "@@transcript@@"
_SHOWN_LINES = 60


@dataclass
class Step:
    """A command and the lines that it is said to print."""

    command: str
    expected: list[str] = field(default_factory=list)


def section(text: str, heading: str) -> str:
    """The part of a page under a heading, up to the next one of the same or a higher level."""
    level = len(heading) - len(heading.lstrip("#"))
    start = re.search(rf"^{re.escape(heading)}\s*$", text, re.MULTILINE)
    assert start is not None, f"README has no heading {heading!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def steps(text: str) -> list[Step]:
    """The commands of a section in order."""
    found: list[Step] = []
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            elif found and line.startswith("> "):
                found[-1].command += "\n" + line[2:]
            elif found and line.strip():
                found[-1].expected.append(line.strip())
    return found


def follow(todo: list[Step], folder: Path, environment: dict[str, str], timeout_s: float) -> Iterator[tuple[Step, str]]:
    """Types the commands into one shell. Yields each with what it printed; a command that fails fails the test."""
    script = "\n".join(f"{step.command}\necho {_MARK} $?" for step in todo)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        text=True,
    )
    rest = done.stdout
    for step in todo:
        printed, mark, rest = rest.partition(_MARK)
        status, _, rest = rest.partition("\n")
        assert mark, f"the shell ended at: {step.command}\n{printed}"
        assert status.strip() == "0", f"`{step.command}` ended with {status.strip()}:\n{_tail(printed)}"
        yield step, printed


def assert_printed(step: Step, printed: str) -> None:
    """The lines stand in the output in this order."""
    at = 0
    for line in step.expected:
        if line == "...":
            continue
        pattern = ".*?".join(re.escape(part) for part in line.split("..."))
        found = re.compile(pattern).search(printed, at)
        assert found is not None, f"`{step.command}` did not print, in this place, {line!r}:\n{_tail(printed)}"
        at = found.end()


def _tail(printed: str) -> str:
    return "\n".join(printed.splitlines()[-_SHOWN_LINES:])
