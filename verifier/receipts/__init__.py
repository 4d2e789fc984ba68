"""Verifies one payment's receipt with an RPC endpoint alone: no backend, no log, no trust in who handed it over."""

from verifier.receipts.report import Check, ReceiptReport
from verifier.receipts.verify import verify_receipt

__all__ = ["Check", "ReceiptReport", "verify_receipt"]
