"""A receipt: everything about one payment that its requester needs to show, in one file.

It carries no promise of its own. Each field is signed by somebody, hashes to something signed, or stands on the chain,
so that whoever has the file and an RPC endpoint recomputes all of it (`assay verify`), with no backend and no log.
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
    """The contracts that the receipt speaks of."""

    escrow: Address
    stake_manager: Address
    court: Address
    token: Address


class ReceiptLeaf(Record):
    """The row that charged the order, and the way from it to the root of its epoch (SPEC section 4)."""

    epoch_id: Units64
    index: Uint32
    operator_id: Uint32
    amount_units: Annotated[int, Field(strict=True, ge=0, le=U48)]
    siblings: list[Bytes32]
    root: Bytes32
    post_tx: Bytes32


class ReceiptSettlement(Record):
    """How the epoch was settled whole: a bit a row, 1 in `void_bits` = VOID, in `skipped_bits` = its lane was skipped.

    Their hash stands on the chain (SPEC section 6).
    """

    settle_tx: Bytes32
    void_bits: Bits
    skipped_bits: Bits


class PaymentReceipt(Record):
    """One payment. `settlement` is null while the epoch is not settled; a later copy of the receipt has it.

    Amounts in units of the token. The requester of the lane is `order.requester`.
    """

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
