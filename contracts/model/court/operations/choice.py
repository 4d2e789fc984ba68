"""Choosing a token (SPEC.md): greedy with ties, or sampled with temperature and top-p, which needs no sorting.

The cut is the last token of the kept prefix. Tokens come before another that weigh more, or as much with a lower id.
Three sums in order of ids decide: of all weights, of those before the cut, of those before the token.
"""

from hashlib import sha256

from contracts.court import numbers as n
from contracts.court.layout import Layout, Place
from contracts.model.court.operations.attention import exp2
from contracts.model.court.operations.base import Operation, Spot, element, largest, sums
from contracts.model.court.operations.ends import answered, endings
from contracts.model.court.reading import Reader

DRAW_TAG = b"assay/exact/draw/1\n"


def operations(layout: Layout) -> list[Operation]:
    """Greedy and sampled choices, and where an answer ends."""
    return [Operation("output:greedy", "output", _is_largest, _vocabulary), *_sampled(layout), *endings(layout)]


def _vocabulary(layout: Layout, at: Spot) -> int:
    return layout.text.config.vocabulary


def _is_largest(r: Reader, at: Spot) -> bool:
    """No logit is larger than the chosen token's, nor an equal one's id lower. Says nothing of what was sampled."""
    if r.terms.temperature_milli:
        return True
    token = _token(r, (at.column,))
    chosen, here = r.at("logits", (0,), at.column, token), r.at("logits", (0,), at.column, at.other)
    return here < chosen or (here == chosen and at.other >= token)


def _sampled(layout: Layout) -> list[Operation]:
    vocabulary = layout.text.config.vocabulary
    return [
        *largest("choice.largest", lambda r, at: r.at("logits", (0,), at.place[0], at.other), _vocabulary),
        element("choice.weight", _weight),
        *sums("choice.total", vocabulary, lambda r, at: r.block("choice.weight", at.place, 0, at.column)),
        *sums("choice.before_cut", vocabulary, lambda r, at: _before(r, at, r.one("choice.cut", at.place))),
        *sums("choice.before_token", vocabulary, lambda r, at: _before(r, at, _token(r, at.place))),
        Operation("choice.cut", "choice.cut", _is_cut),
        Operation("output:sampled", "output", _is_drawn),
    ]


def _token(r: Reader, place: Place) -> int:
    return answered(r, place[0])


def _weight(r: Reader, at: Spot) -> int:
    """2^24 exp((logit - max) / temperature); 0 for every token where nothing is sampled."""
    if not r.terms.temperature_milli:
        return 0
    below = r.one("choice.largest", at.place) - r.at("logits", (0,), at.place[0], at.column)
    factor = (n.LOG2_E_32 * 1000 // r.terms.temperature_milli) >> 16
    return exp2(r, min((below * factor) >> 20, n.DISTANCE_MAX))


def _weight_of(r: Reader, place: Place, token: int) -> int:
    return r.at("choice.weight", place, 0, token)


def _before(r: Reader, at: Spot, token: int) -> list[int]:
    """Of a block of 64 tokens, the weights of those that come before a token, and 0 for the others."""
    bar, first = _weight_of(r, at.place, token), n.BLOCK * at.column
    weights = r.block("choice.weight", at.place, 0, at.column)
    return [w if w > bar or (w == bar and first + index < token) else 0 for index, w in enumerate(weights)]


def _sum(r: Reader, name: str, place: Place) -> int:
    return r.total(f"choice.{name}", place, 0, r.config.vocabulary)


def _is_cut(r: Reader, at: Spot) -> bool:
    """The cut's own weight takes the sum to what top-p wants, and those before it do not."""
    cut = r.one("choice.cut", at.place)
    if not r.terms.temperature_milli:
        return cut == 0
    wanted = -(-r.terms.top_p_ppm * _sum(r, "total", at.place) // n.WHOLE_PPM)
    before = _sum(r, "before_cut", at.place)
    return before < wanted <= before + _weight_of(r, at.place, cut)


def _is_drawn(r: Reader, at: Spot) -> bool:
    """The drawn point lies in the token's own weight, among those of the kept prefix."""
    if not r.terms.temperature_milli:
        return True
    place = (at.column,)
    token, cut = _token(r, place), r.one("choice.cut", place)
    kept = _sum(r, "before_cut", place) + _weight_of(r, place, cut)
    point = _draw(r, at.column) * kept >> n.DRAW_BITS
    before = _sum(r, "before_token", place)
    return before <= point < before + _weight_of(r, place, token)


def _draw(r: Reader, step: int) -> int:
    counter = r.claims.texts.index.to_bytes(4, "little") + step.to_bytes(4, "little")
    return int.from_bytes(sha256(DRAW_TAG + r.terms.seed + counter).digest()[: n.DRAW_BITS // 8], "big")
