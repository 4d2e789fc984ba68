"""The arrays of both families: what the trace root and the model root list, and what each unit shows (COURT.md).

P positions of the text, C width, F inner width, H query heads and K key/value heads of width D, V vocabulary, G tokens
generated, L layers; stages are the residual stream after the embedding (0), after the attention (2l + 1) and after the
feed-forward (2l + 2) of layer l.
"""

from collections.abc import Callable

from contracts.court import numbers as n
from contracts.court.encoding import ANY32, COUNT32, EXPONENT, LOGGED, WIDE, ValueKind, signed, unsigned
from contracts.court.layout import Array, CourtConfig, Home, Layout, Place, Shape, Text

INT8, INT16 = signed(1, 127), signed(2, 2**15 - 1)
SHORT = signed(2, 2**14 - 1)
HEAD = signed(4, n.HEAD_MAX)
RESIDUAL, STATE = signed(5, n.RESIDUAL_MAX), signed(4, n.STATE_MAX)
SUM = unsigned(8, 2**62)
WEIGHT, SHARE = unsigned(4, 2**24), unsigned(3, 2**16)


class _Catalogue:
    """Collects the arrays of one text."""

    def __init__(self, text: Text) -> None:
        self.text, self.arrays = text, list[Array]()

    def add(self, name: str, home: Home, kind: ValueKind, axes: tuple[int, ...], rows: int, width: int) -> None:
        self.arrays.append(Array(name, home, kind, axes, lambda _: (rows, width)))

    def unit(self, unit: str, *axes: int) -> "_Unit":
        return _Unit(self, unit, axes)


class _Unit:
    """Adds the arrays of one unit."""

    def __init__(self, catalogue: _Catalogue, unit: str, axes: tuple[int, ...]) -> None:
        self._catalogue, self._unit, self._axes = catalogue, unit, axes

    def add(self, part: str, kind: ValueKind, width: int | Callable[[Place], int] = 1, rows: int = 1) -> None:
        def shape(place: Place) -> Shape:
            return rows, width if isinstance(width, int) else width(place)

        name = f"{self._unit}.{part}"
        self._catalogue.arrays.append(Array(name, Home.UNIT, kind, self._axes, shape, self._unit))

    def sums(
        self, part: str, kind: ValueKind, most: int, count: Callable[[Place], int] | None = None, rows: int = 1
    ) -> None:
        """The levels of partial sums over `count` terms, as many as `most`, the largest count, needs."""

        def width(level: int) -> Callable[[Place], int]:
            return lambda place: n.width_at(count(place) if count else most, level)

        for level in range(n.levels(most)):
            self.add(f"{part}.{level}", kind, width(level), rows)

    def largest(self, part: str, kind: ValueKind, width: int = 1) -> None:
        """A largest value and its first index."""
        self.add(part, kind, width)
        self.add(f"{part}_at", COUNT32, width)

    def short(self, width: int) -> None:
        """A vector shortened for a matrix: exponent, first index that needs it, integers."""
        self.largest("short_exponent", EXPONENT)
        self.add("short", SHORT, width)

    def normaliser(self, width: int) -> None:
        """Exponent, partial sums of squares, integer root."""
        self.largest("exponent", EXPONENT)
        self.sums("squares", SUM, width)
        self.add("root", unsigned(4, 2**31))


def layout(text: Text) -> Layout:
    """All arrays of a text of a decoder or an encoder."""
    catalogue = _Catalogue(text)
    _given(catalogue)
    _model(catalogue)
    _bound(catalogue)
    if text.config.encoder:
        _encoder_units(catalogue)
    else:
        _decoder_units(catalogue)
    _attention_units(catalogue)
    _sums_units(catalogue)
    return Layout(text, tuple(catalogue.arrays))


def matrices(config: CourtConfig) -> dict[str, tuple[int, int, int]]:
    """Sheets, outputs and inputs of each matrix in the file."""
    c, f, h, k, d = config.width, config.inner, config.heads, config.kv_heads, config.head_dim
    found = {
        "embedding": (1, config.vocabulary, c),
        "qkv": (config.layers, (h + 2 * k) * d, c),
        "attention_out": (config.layers, c, h * d),
        "down": (config.layers, c, f),
    }
    if config.encoder:
        return found | {"up": (config.layers, f, c)}
    found["gate_up"] = (config.layers, 2 * f, c)
    return found if config.tied else found | {"head": (1, config.vocabulary, c)}


def products(config: CourtConfig) -> dict[str, tuple[int, int, int]]:
    """Sheets, outputs and inputs of each matrix in a product. A tied embedding is also the head."""
    found = matrices(config)
    embedding = found.pop("embedding")
    return found if config.encoder else found | {"head": embedding}


def _given(catalogue: _Catalogue) -> None:
    """What order, commitment and trace hash bind."""
    text, config = catalogue.text, catalogue.text.config
    catalogue.add("prompt", Home.PROMPT, COUNT32, (1,), 1, text.prompt)
    if config.encoder:
        catalogue.add("vector", Home.OUTPUT, ANY32, (1,), 1, config.width)
        logged = "state", ((config.layers + 1) * text.prompt, config.width)
    else:
        catalogue.add("output", Home.OUTPUT, COUNT32, (1,), 1, text.output)
        logged = "logits", (text.output, config.vocabulary)
    catalogue.arrays.append(Array(logged[0], Home.LOGGED, LOGGED, (1,), lambda _: logged[1], block=256))


def _model(catalogue: _Catalogue) -> None:
    """Arrays under the model root, after the configuration."""
    c = catalogue.text.config

    def add(name: str, kind: ValueKind, sheets: int, rows: int, width: int) -> None:
        catalogue.add(name, Home.MODEL, kind, (sheets,), rows, width)

    for name, (sheets, outputs, inputs) in matrices(c).items():
        add(f"{name}.weight", INT8, sheets, outputs, inputs)
        add(f"{name}.scale", signed(4, 2**30 - 1), sheets, outputs, 3)  # multiplier, bias, exponent
    gain = signed(4, 2**30 - 1)
    norms = ["attention_norm", "out_norm"] if c.encoder else ["attention_norm", "mlp_norm"]
    alone = "embedding_norm" if c.encoder else "final_norm"
    for name, sheets in {alone: 1, **dict.fromkeys(norms, c.layers)}.items():
        add(f"{name}.gain", gain, sheets, 1, c.width)
        if c.encoder:
            add(f"{name}.bias", gain, sheets, 1, c.width)
    if c.head_epsilon:
        add("query_norm.gain", gain, c.layers, 1, c.head_dim)
        add("key_norm.gain", gain, c.layers, 1, c.head_dim)
    add("exp2", WEIGHT, 1, 1, 1 << n.EXP2_INDEX_BITS)
    if c.encoder:
        add("position", gain, 1, c.positions, c.width)
        add("normal", WEIGHT, 1, 1, 2 * n.TABLE_HALF)
    else:
        add("sigmoid", WEIGHT, 1, 1, 2 * n.TABLE_HALF)
        add("cos", INT16, 1, c.positions, c.head_dim // 2)
        add("sin", INT16, 1, c.positions, c.head_dim // 2)


def _bound(catalogue: _Catalogue) -> None:
    """Arrays under the trace root, which other positions and stages read. The rows of `value` are dimensions."""
    text, c = catalogue.text, catalogue.text.config
    heads, read = (c.layers, c.kv_heads), text.positions
    catalogue.add("token", Home.TRACE, COUNT32, (1,), 1, text.prompt + (0 if c.encoder else text.output))
    catalogue.add("residual", Home.TRACE, STATE if c.encoder else RESIDUAL, (2 * c.layers + 1,), read, c.width)
    catalogue.add("key", Home.TRACE, signed(2, 2 ** (c.key_bits - 1) - 1), heads, read, c.head_dim)
    catalogue.add("key_exponent", Home.TRACE, EXPONENT, heads, 1, read)
    catalogue.add("value", Home.TRACE, signed(2, 2 ** (n.VALUE_BITS - 1) - 1), heads, c.head_dim, read)
    catalogue.add("value_exponent", Home.TRACE, EXPONENT, heads, 1, read)


def _decoder_units(catalogue: _Catalogue) -> None:
    text, c = catalogue.text, catalogue.text.config
    for unit in (
        catalogue.unit("norm", 2 * c.layers, text.positions),
        catalogue.unit("final", 1, text.output),
    ):
        unit.normaliser(c.width)
        unit.add("normed", WIDE, c.width)
        unit.short(c.width)
    heads = catalogue.unit("heads", c.layers, text.positions)
    heads.add("raw", HEAD, c.head_dim, c.heads + 2 * c.kv_heads)
    heads.add("turned", signed(4, 2**26), c.head_dim, c.heads + c.kv_heads)
    if c.head_epsilon:
        normed = catalogue.unit("head_norm", c.layers, text.positions, c.heads + c.kv_heads)
        normed.normaliser(c.head_dim)
        normed.add("normed", HEAD, c.head_dim)
    gate = catalogue.unit("gate", c.layers, text.positions)
    gate.add("raw", HEAD, c.inner, 2)  # gates, then ups
    gate.add("out", WIDE, c.inner)
    gate.short(c.inner)
    choice = catalogue.unit("choice", text.output)
    choice.largest("largest", signed(4, n.LOGIT_MAX))
    choice.add("weight", WEIGHT, c.vocabulary)
    choice.add("cut", COUNT32)
    for part in ("total", "before_cut", "before_token"):
        choice.sums(part, SUM, c.vocabulary)


def _encoder_units(catalogue: _Catalogue) -> None:
    text, c = catalogue.text, catalogue.text.config
    norm = catalogue.unit("norm", 2 * c.layers + 1, text.positions)
    norm.add("raw", RESIDUAL, c.width)
    norm.sums("sum", WIDE, c.width)
    norm.normaliser(c.width)
    entry = catalogue.unit("entry", 2 * c.layers, text.positions)  # a state on its way into a matrix
    entry.short(c.width)
    heads = catalogue.unit("heads", c.layers, text.positions)
    heads.add("raw", HEAD, c.head_dim, 3 * c.heads)
    gate = catalogue.unit("gate", c.layers, text.positions)
    gate.add("raw", HEAD, c.inner)
    gate.add("out", WIDE, c.inner)
    gate.short(c.inner)
    pool = catalogue.unit("pool", 1)
    pool.add("column", STATE, text.positions, c.width)
    pool.sums("sum", WIDE, text.positions, rows=c.width)
    pool.add("vector", WIDE, c.width)  # the sums side by side
    pool.normaliser(c.width)


def _attention_units(catalogue: _Catalogue) -> None:
    text, c = catalogue.text, catalogue.text.config

    def seen(place: Place) -> int:
        return text.positions if c.encoder else place[1] + 1

    heads = catalogue.unit("heads", c.layers, text.positions)
    heads.largest("query_exponent", EXPONENT, c.heads)
    heads.add("query", signed(2, 2 ** (c.query_bits - 1) - 1), c.head_dim, c.heads)
    heads.add("key_exponent_at", COUNT32, c.kv_heads)
    heads.add("value_exponent_at", COUNT32, c.kv_heads)
    mix = catalogue.unit("mix", c.layers, text.positions, c.heads)
    mix.add("score", WIDE, seen)
    mix.largest("largest", WIDE)
    mix.add("exp", WEIGHT, seen)
    mix.add("share", SHARE, seen)
    for part in ("exp_sum", "weight_sum", "share_sum"):
        mix.sums(part, SUM, text.positions, seen)
    mix.sums("total", WIDE, text.positions, seen, c.head_dim)
    joined = catalogue.unit("joined", c.layers, text.positions)
    joined.add("out", WIDE, c.head_dim, c.heads)
    joined.short(c.heads * c.head_dim)


def _sums_units(catalogue: _Catalogue) -> None:
    """The partial sums of one output of one matrix."""
    text = catalogue.text
    for name, (sheets, outputs, inputs) in products(text.config).items():
        rows = text.output if name == "head" else text.positions
        catalogue.unit(f"{name}_sums", sheets, rows, outputs).sums("sum", WIDE, inputs)
