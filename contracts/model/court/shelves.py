"""Whoever holds the values of a computation or of a model shows them: roots, and any block with its path."""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import product

from contracts.court.arrays import layout as layout_of
from contracts.court.layout import Array, CourtConfig, Home, Layout, Place, Text
from contracts.model.court.ids import words_path
from contracts.model.court.reading import Claims, ReadTerms
from contracts.model.court.trees import Key, Texts, TreeOpening, hops, leaf
from contracts.protocol import packed
from contracts.protocol.hashing import keccak
from contracts.protocol.trace_tree import Digest, Tree, by_sha256

Rows = Sequence[Sequence[int]]
Sheet = Callable[[str, Place], Rows]
"""The rows of an array's sheet."""


class Shelf:
    """The digests of arrays at every level, computed once each.

    Args:
        layout: where values lie.
        sheet: the values.
    """

    def __init__(self, layout: Layout, sheet: Sheet) -> None:
        self.layout, self._sheet = layout, sheet
        self._planted: dict[Key, bytes] = {}
        self._known: dict[tuple[object, ...], Tree] = {}

    def planted(self, key: Key, data: bytes) -> "Shelf":
        """The same values but for other bytes in one block: what somebody shows who computed it wrong, or lies."""
        other = Shelf(self.layout, self._sheet)
        other._planted = {**self._planted, key: data}
        changed = {(key.array,), (key.array, key.place), (key.array, key.place, key.row)}
        other._known = {name: digests for name, digests in self._known.items() if name[0] and name not in changed}
        return other

    def data(self, array: Array, place: Place, row: int) -> list[bytes]:
        """The bytes of each block of a row."""
        values, size = list(self._sheet(array.name, place)[row]), array.block
        blocks = [array.kind.encode(values[start : start + size]) for start in range(0, len(values), size)]
        return [self._planted.get(Key(array.name, place, row, index), block) for index, block in enumerate(blocks)]

    def row(self, array: Array, place: Place, row: int) -> Tree:
        """A row's blocks."""
        digest = _digest(array)
        return self._once((array.name, place, row), digest, lambda: [
            leaf(block, digest) for block in self.data(array, place, row)
        ])  # fmt: skip

    def sheet(self, array: Array, place: Place) -> Tree:
        """A sheet's rows."""
        rows = range(array.shape(place)[0])
        return self._once((array.name, place), _digest(array), lambda: [self.row(array, place, r).root for r in rows])

    def sheets(self, array: Array) -> Tree:
        """An array's sheets."""
        places = product(*map(range, array.axes))
        return self._once((array.name,), _digest(array), lambda: [self.sheet(array, place).root for place in places])

    def arrays(self, home: Home, unit: str = "", place: Place = ()) -> Tree:
        """The arrays at a home; of a unit its sheets at a place."""
        lists = self.sheet if home is Home.UNIT else lambda array, _: self.sheets(array)
        found = self.layout.at_home(home, unit)
        return self._once(("", home, unit, place), keccak, lambda: [lists(array, place).root for array in found])

    def inside(self, array: Array, key: Key) -> list[Tree]:
        """The lists that a path leads through, from the block or row up to those of its home."""
        lists = [] if key.block is None else [self.row(array, key.place, key.row)]
        lists.append(self.sheet(array, key.place))
        if array.home is Home.LOGGED:
            return lists
        if array.home is not Home.UNIT:
            lists.append(self.sheets(array))
        return [*lists, self.arrays(array.home, array.unit, key.place)]

    def opened(self, array: Array, key: Key) -> bytes:
        """The bytes of a block, or of a row whole."""
        blocks = self.data(array, key.place, key.row)
        return b"".join(blocks) if key.block is None else blocks[key.block]

    def _once(self, key: tuple[object, ...], digest: Digest, make: Callable[[], list[bytes]]) -> Tree:
        if key not in self._known:
            self._known[key] = Tree(make(), digest)
        return self._known[key]


class ModelShelf:
    """A model's numbers under its root: the configuration, then all arrays. `sheet` gives them by the court's names."""

    def __init__(self, config: CourtConfig, sheet: Sheet) -> None:
        self.config = config
        self._shelf = Shelf(layout_of(Text(config, 1, 1)), sheet)

    @cached_property
    def _top(self) -> Tree:
        arrays = [self._shelf.sheets(array).root for array in self._shelf.layout.at_home(Home.MODEL)]
        return Tree([self.config.leaf(), *arrays], keccak)

    @property
    def root(self) -> bytes:
        """The model root."""
        return self._top.root

    def opening(self, array: Array, key: Key) -> TreeOpening:
        """A block or row of a weight, gain or table."""
        lists = self._shelf.inside(array, key)
        lists[-1] = self._top
        return TreeOpening(self._shelf.opened(array, key), _path(self._shelf.layout, array, key, lists))


class JobShelf:
    """All that was computed for the texts of one job, and what order and commitment say of it.

    Args:
        model: the model's numbers.
        shelves: of each text.
        terms: the order's.
    """

    def __init__(self, model: ModelShelf, shelves: Sequence[Shelf], terms: ReadTerms) -> None:
        self._model, self._shelves, self._terms = model, shelves, terms

    def claims(self, text: int) -> Claims:
        """What a case about one of the texts knows once everything was shown."""
        roots = {
            Home.MODEL: self._model.root,
            Home.TRACE: self._texts(Home.TRACE).root,
            Home.LOGGED: self._texts(Home.LOGGED).root,
            Home.PROMPT: packed.root_of(map(packed.list_root, self._words(Home.PROMPT))),
            Home.OUTPUT: packed.root_of(map(packed.list_root, self._words(Home.OUTPUT))),
        }
        return Claims(self._shelves[text].layout, self._place(text), self._terms, roots, _Shown(self._shelves[text]))

    def source(self, text: int) -> "TextSource":
        """Openings of one of the texts."""
        return TextSource(self, text)

    def opening(self, text: int, key: Key) -> TreeOpening:
        """One opening of one text."""
        shelf = self._shelves[text]
        array = shelf.layout.arrays[key.array]
        if array.home is Home.MODEL:
            return self._model.opening(array, key)
        data = shelf.opened(array, key)
        if array.home in (Home.PROMPT, Home.OUTPUT):
            return TreeOpening(data, tuple(words_path(self._words(array.home), text, key.block or 0)))
        lists = shelf.inside(array, key)
        if array.home is not Home.UNIT:
            lists.append(self._texts(array.home))
        return TreeOpening(data, _path(shelf.layout, array, key, lists, self._place(text)))

    def _place(self, text: int) -> Texts:
        return Texts(text, len(self._shelves))

    def _texts(self, home: Home) -> Tree:
        if home is Home.TRACE:
            return Tree([shelf.arrays(home).root for shelf in self._shelves], keccak)
        return Tree([shelf.sheet(shelf.layout.at_home(home)[0], (0,)).root for shelf in self._shelves])

    def _words(self, home: Home) -> list[bytes]:
        return [b"".join(shelf.data(shelf.layout.at_home(home)[0], (0,), 0)) for shelf in self._shelves]


class TextSource:
    """Openings of one text of a job, as a step asks for them. `read` are those that it got."""

    def __init__(self, job: JobShelf, text: int) -> None:
        self._job, self._text = job, text
        self.read: dict[Key, TreeOpening] = {}

    def opening(self, key: Key) -> TreeOpening:
        """See `contracts.model.court.reading.Source`."""
        if key not in self.read:
            self.read[key] = self._job.opening(self._text, key)
        return self.read[key]


class _Shown:
    """The roots of units, as a node's side shows them when it is asked."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._known = shelf, dict[tuple[str, Place], bytes]()

    def __call__(self, unit: str, place: Place) -> bytes:
        if (unit, place) not in self._known:
            self._known[unit, place] = self._shelf.arrays(Home.UNIT, unit, place).root
        return self._known[unit, place]


def _digest(array: Array) -> Digest:
    return by_sha256 if array.home is Home.LOGGED else keccak


def _path(
    layout: Layout, array: Array, key: Key, lists: Sequence[Tree], texts: Texts | None = None
) -> tuple[bytes, ...]:
    steps = hops(layout, array, key, texts or Texts(0, 1))
    return tuple(node for (index, _), tree in zip(steps, lists, strict=True) for node in tree.path(index))
