"""Translates between text, which people read and write, and token ids, which are signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select

from backend.domain.errors import InputRefused
from backend.errors import NothingDelivered, UnknownOrder
from backend.services.offering import find_offer
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.tables import CommitmentRow, OrderRow
from backend.store.tokenizers import TokenizerStore
from contracts.protocol.errors import BadTexts
from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import packed_root, unpack
from contracts.protocol.prompts import pack_prompts, read_answer
from contracts.protocol.texts import encode_texts
from contracts.protocol.wire import Tokenize, Tokenized


@dataclass(frozen=True)
class Words:
    """Tokenizes and spells with the tokenizers of the workloads on offer."""

    database: Database
    blobs: BlobStore
    tokenizers: TokenizerStore

    def pack(self, manifest: Manifest, texts: Sequence[str]) -> bytes:
        """The packed prompts of texts. Raises BadTexts."""
        return pack_prompts(manifest, self.tokenizers.get(manifest), texts)

    def tokenize(self, asked: Tokenize) -> Tokenized:
        """The prompts of texts by a workload's tokenizer. Raises UnknownWorkload, InputRefused."""
        with self.database.read() as session:
            manifest = find_offer(session, asked.workload_id).manifest
        try:
            packed = self.pack(manifest, manifest.input.read(encode_texts(asked.texts)))
        except BadTexts as error:
            raise InputRefused(error.why) from error
        return Tokenized(prompts=unpack(packed), prompt_root=to_hex(packed_root(packed)))

    def tokenizer(self, workload_id: str) -> bytes:
        """The tokenizer.json of a workload on offer. Raises UnknownWorkload."""
        with self.database.read() as session:
            sha256 = find_offer(session, workload_id).manifest.tokenizer_sha256
        return self.tokenizers.read(sha256)

    def answer(self, order_id: str) -> list[Any]:
        """An order's output for people, an item per text. Raises UnknownOrder, NothingDelivered, UnknownBlob."""
        with self.database.read() as session:
            order = session.get(OrderRow, order_id)
            if order is None:
                raise UnknownOrder(order_id=order_id)
            row = session.exec(select(CommitmentRow).where(col(CommitmentRow.order_id) == order_id)).first()
            if row is None:
                raise NothingDelivered(order_id=order_id)
            manifest = find_offer(session, order.workload_id).manifest
        output = self.blobs.get(row.record.output_root)
        return read_answer(manifest, self.tokenizers.spelling(manifest), output)
