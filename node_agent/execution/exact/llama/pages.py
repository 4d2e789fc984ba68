"""The pasts of texts, in pages of a few positions that texts with the same beginning share (kernels/attention.h).

What a page holds depends on the tokens up to its end alone, so who read them changes no bit. Whether a beginning was
read before shows in how long an answer takes: do not serve secret texts of several people on one node.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact.kernels import PAGE, address

KEPT_BYTES = 64 << 20
"""Pages that no text uses any more, kept for those to come: 300 pages, or 4,800 positions, of SmolLM2-135M."""

Page = NDArray[np.uint8]


class PageStore:
    """Full pages by their names; those used longest ago go first when they are too many.

    Args:
        page_bytes: of one page.
        kept_bytes: most bytes of pages that are kept.
    """

    def __init__(self, page_bytes: int, kept_bytes: int = KEPT_BYTES) -> None:
        self.page_bytes, self._most = page_bytes, kept_bytes // page_bytes
        self._pages: OrderedDict[bytes, Page] = OrderedDict()

    def new(self) -> Page:
        """A page to write to. Raises MemoryError."""
        return np.empty(self.page_bytes, np.uint8)

    def keep(self, name: bytes, page: Page) -> None:
        """Keeps a page that nobody writes to any more."""
        self._pages[name] = page
        self._pages.move_to_end(name)
        while len(self._pages) > self._most:
            self._pages.popitem(last=False)

    def find(self, name: bytes) -> Page | None:
        """The page of this name, if it is kept."""
        if name in self._pages:
            self._pages.move_to_end(name)
        return self._pages.get(name)


class PagedCache:
    """The past of one text; see `port.Cache`.

    Args:
        store: of the model.
        positions: how many it has room for.
        model: names what pages are computed by.

    Attributes:
        used: how many positions it holds.
        addresses: of its pages, in order.
    """

    def __init__(self, store: PageStore, positions: int, model: bytes) -> None:
        self._store, self.positions, self.used = store, positions, 0
        self._pages = [store.new() for _ in range(-(-positions // PAGE))]
        self.addresses = np.array([address(page) for page in self._pages], np.int64)
        self._name = model
        self._open: list[int] = []  # tokens of the page that is being filled

    def recall(self, tokens: Sequence[int]) -> bytes | None:
        """See `port.Cache`."""
        while not self._open and self.used + PAGE < len(tokens):
            name = self._next_name(tokens[self.used : self.used + PAGE])
            page = self._store.find(name)
            if page is None:
                return name
            index = self.used // PAGE
            self._pages[index], self.addresses[index] = page, address(page)
            self._name, self.used = name, self.used + PAGE
        return None

    def append(self, tokens: Sequence[int]) -> None:
        """These tokens were read."""
        for token in tokens:
            self._open.append(token)
            self.used += 1
            if len(self._open) == PAGE:
                self._name, self._open = self._next_name(self._open), []
                self._store.keep(self._name, self._pages[self.used // PAGE - 1])

    def _next_name(self, tokens: Sequence[int]) -> bytes:
        return hashlib.sha256(self._name + np.array(tokens, "<i8").tobytes()).digest()
