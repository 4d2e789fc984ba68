"""The public record in JavaScript against the golden vectors that Python folds, run in the real browser."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Open
from tests.browser.test_agreement import VECTORS, columns, in_page

_LINES = """
return a.file.map((hex) => {
  const lines = m.splitLines(p.fromHex(hex));
  return [lines.map((line) => p.toHex(line)), p.toHex(m.logRootOf(lines))];
});
"""
_ROOTS = """
return a.map((story) => Object.entries(story.files).map(([epoch, text]) => {
  const post = story.events.find((e) => e.name === 'EpochPosted' && String(e.args.id) === epoch);
  const lines = m.splitLines(p.utf8(text));
  const rows = lines.map((line) => JSON.parse(new TextDecoder().decode(line))).filter((entry) => entry.kind === 'row');
  const leaves = rows.map((row) => p.leafOf({ requester: row.requester, signer: row.signer,
    operatorId: row.operator_id, amountUnits: row.amount_units, digest: row.digest }));
  return p.toHex(m.logRootOf(lines)) === post.args.logRoot && p.toHex(m.merkleRoot(leaves)) === post.args.root;
}));
"""
_SAMPLES = """
const hash = (number) => p.keccakHex(p.utf8('block ' + number));
return a.map((story) => {
  const posts = story.events.filter((e) => e.name === 'EpochPosted');
  const entries = Object.values(story.files).flatMap((text) => text.split('\\n').filter(Boolean).map(JSON.parse));
  const { deterrence } = entries.find((entry) => entry.kind === 'workload').manifest;
  return story.samples.map((row) => {
    const [post, next] = [posts[row.epoch - 1], posts[row.epoch]];
    const seed = m.seedOf(hash(post.block + story.constants.seed_blocks), next.args.beacon, post.args.root);
    const least = m.leastThreshold(deterrence, { stakeUnits: row.stakeUnits, exposureUnits: row.exposureUnits,
      penaltyMultiple: story.constants.penalty_multiple });
    const standing = story.standings.find((s) => s.operatorId === row.operatorId && s.epoch === row.epoch);
    const threshold = m.raised(least, row.suspected ? 1000000 : row.native ? standing.leastRatePpm : 0);
    const sampled = m.isSampled(seed, row.digest, threshold);
    const duty = sampled ? m.drawVerifiers(seed, row.digest, row.verifiers) : [];
    return { seed: p.toHex(seed), threshold: m.thresholdHex(threshold), sampled, duty };
  });
});
"""
_OUTCOMES = """
return a.map((story) => {
  const named = (name, test) => story.events.some((e) => e.name === name && test(e.args));
  const post = (id) => story.events.find((e) => e.name === 'EpochPosted' && e.args.id === id);
  const settlement = (id) => {
    const settled = story.events.find((e) => e.name === 'EpochSettled' && e.args.id === id);
    if (!settled) return null;
    const packed = p.fromHex(story.packed[id]);
    const start = 2 + 4 * ((packed[0] << 8) | packed[1]);
    return { voidBits: p.toHex(packed.subarray(start)), skippedBits: settled.args.skippedBits };
  };
  return story.outcomes.map(({ epoch, index, nowS }) => m.outcomeOf({ index, settlement: settlement(epoch), nowS,
    alone: named('LeafSettled', (args) => args.epochId === epoch && args.index === index),
    revealed: post(epoch + 1) !== undefined, postedAt: post(epoch).timestamp,
    settleWaitS: story.constants.settle_wait_s }));
});
"""


@pytest.fixture
def page(open_page: Open) -> Page:
    """A page that can import record.js, as if it were served beside protocol.js."""
    page = open_page("/wallet")
    source = Path(__file__).parent / "record.js"
    page.route("**/web/shared/record.js", lambda route: route.fulfill(path=source, content_type="text/javascript"))
    return page


def record(page: Page, body: str, argument: Any) -> Any:
    """Runs a body over `m`, record.js, and `p`, protocol.js."""
    return in_page(page, "shared/record.js", f"const p = await import('/web/shared/protocol.js'); {body}", argument)


def stories() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / "stories.json").read_text())["stories"]
    return found


def test_lines_and_roots_equal_the_vectors(page: Page) -> None:
    """Protects whoever reads the log in a browser: the same lines and the same roots as on chain."""
    table = columns("log_lines")
    expected = [list(pair) for pair in zip(table["lines"], table["logRoot"], strict=True)]
    assert record(page, _LINES, table) == expected
    assert [all(held) for held in record(page, _ROOTS, stories())] == [True] * len(stories())


def test_samples_and_outcomes_equal_the_vectors(page: Page) -> None:
    """Protects the sample from a second opinion: seed, rate, draw and what became of each leaf, recomputed here."""
    told = ("seed", "threshold", "sampled", "duty")
    expected = [[{name: row[name] for name in told} for row in story["samples"]] for story in stories()]
    assert record(page, _SAMPLES, stories()) == expected
    assert record(page, _OUTCOMES, stories()) == [[each["code"] for each in story["outcomes"]] for story in stories()]
