"""Every rule is needed: each is taken out, and what it denies succeeds. Covers: A50"""

import pytest

from tests.escape.rules import Cages, taken_out

pytestmark = pytest.mark.process


def test_each_rule_is_what_denies(cages: Cages) -> None:
    """Protects the tests of the probes from passing by accident, and the sandbox from rules that nobody would miss."""
    shown = taken_out(cages)
    for each in shown:
        assert each.without == "open", each
    missed = {each.rule for each in shown} - {each.rule for each in shown if each.red}
    assert missed <= ({"capabilities"} if cages.user else set()), [each for each in shown if each.rule in missed]
