"""Events as rows and back. Bytes are 0x hex in a row; the ABI says which arguments are bytes."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlmodel import Session, col, select

from backend.store.chain_tables import BlockRow, ChainEventRow
from contracts.onchain.artifacts import artifact
from contracts.onchain.events import Event
from contracts.protocol.hashing import from_hex, to_hex
from contracts.record.history import History


def to_row(event: Event) -> ChainEventRow:
    args = {name: to_hex(value) if isinstance(value, bytes) else value for name, value in event.args.items()}
    return ChainEventRow(
        block_number=event.block_number, log_index=event.log_index, contract=event.contract, name=event.name,
        subject=subject_of(event.name, args), operator_id=event.args.get("operatorId"), args=args,
        block_hash=to_hex(event.block_hash), tx_hash=to_hex(event.tx_hash),
    )  # fmt: skip


def subject_of(name: str, args: Mapping[str, Any]) -> str:
    """The subject of an event: a lane for LaneSkipped; else an epoch, a case, an order or an account, by its id."""
    if name == "LaneSkipped":
        return f"{args['requester']}:{args['signer']}"
    return str(next((args[key] for key in ("epochId", "caseId", "orderId", "id") if key in args), ""))


def to_event(row: ChainEventRow) -> Event:
    kinds = _argument_types(row.contract, row.name)
    return Event(
        contract=row.contract,
        name=row.name,
        args={name: from_hex(value) if kinds[name].startswith("bytes") else value for name, value in row.args.items()},
        block_number=row.block_number,
        block_hash=from_hex(row.block_hash),
        tx_hash=from_hex(row.tx_hash),
        log_index=row.log_index,
    )


@cache
def _argument_types(contract: str, name: str) -> dict[str, str]:
    abi: list[dict[str, Any]] = artifact(contract).abi
    event = next(item for item in abi if item["type"] == "event" and item["name"] == name)
    return {argument["name"]: argument["type"] for argument in event["inputs"]}


def load_history(session: Session) -> History:
    history = History()
    add_newer(session, history, -1)
    return history


def add_newer(session: Session, history: History, block_number: int) -> None:
    """Folds the events that were confirmed after a block."""
    rows = session.exec(
        select(ChainEventRow, BlockRow.timestamp)
        .join(BlockRow, col(BlockRow.number) == ChainEventRow.block_number)
        .where(col(ChainEventRow.block_number) > block_number)
        .order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))
    ).all()
    history.add([to_event(row) for row, _ in rows], {row.block_number: timestamp for row, timestamp in rows})
