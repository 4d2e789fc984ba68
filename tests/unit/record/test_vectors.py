"""The golden vectors of the public record, read back from the files alone: no line of the code that made them."""

import json
from pathlib import Path
from typing import Any

import pytest

import contracts.vectors.make_record as make
from contracts.onchain.events import Event
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.log import log_root
from contracts.protocol.typed_data import Domain
from contracts.record.history import History
from contracts.record.log_book import LogBook, LogFacts, read_epoch
from contracts.record.log_source import FolderLog, published_lines, split_lines

FOLDER = Path(make.__file__).parent
STORIES: list[dict[str, Any]] = json.loads((FOLDER / "stories.json").read_text())["stories"]
BYTES = {"root", "beacon", "logRoot", "caseId", "commitmentDigest", "skippedBits"}


def history_of(story: dict[str, Any]) -> History:
    """The fold of a story's events."""
    history = History()
    for each in story["events"]:
        args = {name: from_hex(value) if name in BYTES else value for name, value in each["args"].items()}
        event = Event("any", each["name"], args, each["block"], b"", from_hex(each["tx"]), 0)
        history.add([event], {each["block"]: each["timestamp"]} if "timestamp" in each else {})
    return history


def mirror(story: dict[str, Any], folder: Path) -> FolderLog:
    """A story's log as a folder."""
    for part in ("epochs", "blobs"):
        (folder / part).mkdir()
    for epoch_id, text in story["files"].items():
        (folder / "epochs" / f"{epoch_id}.jsonl").write_bytes(text.encode())
    for name, data in story["blobs"].items():
        (folder / "blobs" / name).write_bytes(from_hex(data))
    return FolderLog(folder)


def test_theFiles_areWhatTheCodeMakes() -> None:
    """Protects: committed vectors that silently differ from the code."""
    assert [name for name in make.MADE if (FOLDER / f"{name}.json").read_text() != make.render(name)] == []


def test_lines_areSplitAsTheVectorsSay() -> None:
    """Protects everybody from reading another log than the chain has: CRLF, no last line feed, empty, blank."""
    table = json.loads((FOLDER / "log_lines.json").read_text())["log_lines"]
    for name, file, lines, root in zip(*table.values(), strict=True):
        found = split_lines(from_hex(file))
        assert ([to_hex(line) for line in found], to_hex(log_root(found))) == (lines, root), name


@pytest.mark.parametrize("story", STORIES)
def test_aStory_comesToWhatItsVectorSays(story: dict[str, Any], tmp_path: Path) -> None:
    """Protects the fold that all parties share: sample, standing and outcome from files and events, bit for bit.

    Covers: A53
    """
    history, source = history_of(story), mirror(story, tmp_path)
    domain = Domain(story["domain"]["chain_id"], story["domain"]["escrow"])
    book = LogBook(domain)
    for posted in history.epochs.values():
        read_epoch(book, posted, published_lines(source, posted))
    packed = {int(epoch_id): from_hex(data) for epoch_id, data in story["packed"].items()}
    found = make.follows(domain, history, book, LogFacts(book, source), packed)
    assert found == {name: story[name] for name in ("samples", "standings", "outcomes")}


def test_theStories_showEveryOutcomeAndState() -> None:
    """Protects the test above, which says nothing of what no story has."""
    outcomes = {each["code"] for story in STORIES for each in story["outcomes"]}
    assert outcomes == {"posted", "revealed", "paid", "void", "skipped", "stranded", "alone"}
    states = {each["state"] for story in STORIES for each in story["standings"]}
    assert states >= {"clear", "watch"}
    drawn = [each for story in STORIES for each in story["samples"]]
    for what in ("sampled", "suspected", "native"):
        assert {each[what] for each in drawn} == {True, False}, what
