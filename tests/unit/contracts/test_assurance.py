"""The figures of the contracts' long tests are those of the raw files, and of the code at hand."""

import json

from bench.assurance import figures
from bench.report import RESULTS
from contracts.tools.product import src_sha256


def test_what_is_claimed_is_what_was_measured() -> None:
    """`make bench-contracts-assurance` writes what the raw files say; a changed contract takes its figures along."""
    claimed = json.loads((RESULTS / "contracts-assurance.json").read_text())
    assert claimed["figures"] == {name: figure.record() for name, figure in figures().items()}
    assert claimed["src_sha256"] == src_sha256()
