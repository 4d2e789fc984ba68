"""The figures of the contracts' long tests are those of the raw files, and of the code at hand."""

import json
import shutil
from pathlib import Path

import pytest

from bench.assurance import figures, origins
from bench.report import RESULTS
from contracts.tools import product
from contracts.tools.product import ROOT, code_tokens, src_sha256


def test_what_is_claimed_is_what_was_measured() -> None:
    """`make bench-contracts-assurance` writes what the raw files say; a changed contract takes its figures along."""
    claimed = json.loads((RESULTS / "contracts-assurance.json").read_text())
    assert claimed["figures"] == {name: figure.record() for name, figure in figures().items()}
    assert claimed["raw"] == origins()
    assert claimed["src_sha256"] == src_sha256()


SOURCE = 'uint256 constant A = 1; // one\n/* two */ string b = "// no comment";'


def test_words_and_layout_leave_the_digest_of_the_sources_as_it_is() -> None:
    """A comment may be improved without measuring anew; a string that looks like one is code."""
    rewritten = '/// @dev another word\nuint256 constant A\n    = 1;\nstring b = "// no comment";'
    assert list(code_tokens(SOURCE)) == list(code_tokens(rewritten))
    assert list(code_tokens(SOURCE))[-2] == '"// no comment"'


@pytest.mark.parametrize(("before", "after"), [("= 1", "= 2"), ("no comment", "a comment"), ("uint256", "uint 256")])
def test_any_other_change_does_not(before: str, after: str) -> None:
    """A number, a string or where a word ends: the figures of the older code no longer stand."""
    assert list(code_tokens(SOURCE)) != list(code_tokens(SOURCE.replace(before, after)))


def test_the_digest_covers_every_contract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A contract changed, added or renamed gives another digest."""
    shutil.copytree(ROOT / "src", tmp_path / "src")
    monkeypatch.setattr(product, "ROOT", tmp_path)
    seen = {src_sha256()}
    lanes = tmp_path / "src" / "Lanes.sol"
    lanes.write_text(lanes.read_text().replace("abstract contract Lanes", "contract Lanes"))
    seen.add(src_sha256())
    lanes.rename(lanes.with_name("Lines.sol"))
    seen.add(src_sha256())
    (tmp_path / "src" / "libraries" / "More.sol").write_text("library More {}")
    seen.add(src_sha256())
    assert len(seen) == 4
