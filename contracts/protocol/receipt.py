"""A receipt: everything that proves one payment, in one file.

Each field is signed by somebody, hashes to something signed, or is on the chain. So anyone with the file and an RPC
endpoint can check all of it (`assay verify`) without a backend or a log.
"""

from typing import Annotated, Literal

from pydantic import Field

from contracts.protocol.records import (
    U48,
    Address,
    Bytes32,
    Commitment,
    Order,
    Record,
    Signature,
    Uint32,
    Units64,
)

RECEIPT_VERSION: Literal[2] = 2

Bits = Annotated[str, Field(pattern=r"^0x([0-9a-f]{2})*$", examples=["0x00"])]


class ReceiptContracts(Record):
    escrow: Address
    stake_manager: Address
    court: Address
    token: Address


class ReceiptLeaf(Record):
    """The row that charged the order, with its Merkle proof (SPEC section 4)."""

    epoch_id: Units64
    index: Uint32
    operator_id: Uint32
    amount_units: Annotated[int, Field(strict=True, ge=0, le=U48)]
    siblings: list[Bytes32]
    root: Bytes32
    post_tx: Bytes32


class ReceiptSettlement(Record):
    """The epoch's settlement. Bitmaps of rows: `void_bits` marks VOID rows, `skipped_bits` those of skipped lanes.

    The chain keeps their hash (SPEC section 6).
    """

    settle_tx: Bytes32
    void_bits: Bits
    skipped_bits: Bits


class PaymentReceipt(Record):
    """One payment, in units of the token. `settlement` is null until the epoch is settled; a later receipt has it."""

    version: Literal[2] = RECEIPT_VERSION
    chain_id: Annotated[int, Field(strict=True, gt=0)]
    contracts: ReceiptContracts
    order_id: Bytes32
    order: Order
    signer: Address
    order_signature: Signature
    commitment_digest: Bytes32
    commitment: Commitment
    commitment_signature: Signature
    leaf: ReceiptLeaf
    settlement: ReceiptSettlement | None
