"""The price sheet: the workloads on offer and their prices."""

from sqlmodel import Session, col, select

from backend.domain.orders import Offer
from backend.errors import Misconfigured, UnknownWorkload
from backend.store.database import Database
from backend.store.home import MAX_BLOB_BYTES
from backend.store.tables import WorkloadRow
from backend.store.tokenizers import TokenizerStore
from contracts.protocol.manifest import Manifest
from contracts.protocol.spelling import SAMPLES

MOST_NATIVE_UNITS = 16_000
"""Traces and observations of native work have at most four bytes per unit plus 1,000, and must fit into a blob."""


def offer_workload(
    database: Database,
    tokenizers: TokenizerStore,
    manifest: Manifest,
    tokenizer_json: bytes,
    *,
    fixed_price: int,
    unit_price: int,
    max_units: int,
) -> str:
    """Puts a workload on the price sheet or changes its prices, and returns its id. Prices in units.

    Raises Misconfigured if it cannot be offered, WrongTokenizer unless the tokenizer is the manifest's.
    """
    if max_units < 1 or min(fixed_price, unit_price) < 0:
        raise Misconfigured(
            f"prices must not be negative and a job needs at least one unit: fixed price {fixed_price}, unit price "
            f"{unit_price}, most units {max_units}"
        )
    if manifest.comparator == "native" and max_units > MOST_NATIVE_UNITS:
        raise Misconfigured(
            f"a native job may have at most {MOST_NATIVE_UNITS} units, so that an observation of it fits into a blob",
            way_out=f"lower the most units, {max_units}",
        )
    if manifest.input.most_bytes > MAX_BLOB_BYTES:
        raise Misconfigured(
            f"the manifest allows inputs of {manifest.input.most_bytes} bytes, this backend keeps at most "
            f"{MAX_BLOB_BYTES}",
            way_out="lower input.max_texts or input.max_bytes",
        )
    tokenizers.put(manifest, tokenizer_json)
    _require_family(manifest, tokenizers)
    row = WorkloadRow(
        workload_id=manifest.workload_id(), manifest=manifest.canonical(), fixed_price=fixed_price,
        unit_price=unit_price, max_units=max_units,
    )  # fmt: skip
    with database.begin() as session:
        session.merge(row)
    return row.workload_id


def _require_family(manifest: Manifest, tokenizers: TokenizerStore) -> None:
    """Clients check the ids of their texts by family: by a wrong one, or by none, they would refuse to order."""
    sample = SAMPLES[manifest.tokenizer]
    if not tokenizers.spelling(manifest).spells(tokenizers.get(manifest).encode(sample), sample):
        raise Misconfigured(
            f"the manifest of {manifest.model} names the tokenizer {manifest.tokenizer}, and by its rule the ids of "
            f"{sample!r} do not spell it; supported are byte_bpe (GPT-2's, Llama 3's: it gives every text back) and "
            "wordpiece (uncased BERT's)",
            way_out="name the family of its tokenizer in the manifest; a model without a supported one is not offered",
        )


def require_tokenizers(database: Database, tokenizers: TokenizerStore) -> None:
    """Loads the tokenizer of every workload on offer. Raises Misconfigured or WrongTokenizer."""
    with database.read() as session:
        for offer in all_offers(session):
            tokenizers.get(offer.manifest).encode("a")


def find_offer(session: Session, workload_id: str) -> Offer:
    """The offer of a workload. Raises UnknownWorkload."""
    row = session.get(WorkloadRow, workload_id)
    if row is None:
        raise UnknownWorkload(workload_id=workload_id)
    return _offer(row)


def all_offers(session: Session) -> list[Offer]:
    return [_offer(row) for row in session.exec(select(WorkloadRow).order_by(col(WorkloadRow.workload_id)))]


def _offer(row: WorkloadRow) -> Offer:
    return Offer(row.workload_id, row.record, row.fixed_price, row.unit_price, row.max_units)
