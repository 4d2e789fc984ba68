"""Sends the backend's transactions so that each happens once, whatever crashes: one signer, one queue.

An intent and its nonce are durable before anything is sent, and so are the hash and bytes of each attempt. `step`
works from the tables alone, so a restart continues where the last process died. Modelled on Optimism's txmgr.
"""

import logging
from dataclasses import replace
from itertools import count

from eth_account import Account
from eth_utils.address import to_checksum_address
from sqlmodel import Session, col, func, select

from backend.chain.errors import NodeRefused, Refusal, TransactionReverted
from backend.chain.tx_port import TxPort
from backend.chain.tx_state import Attempt, Fees, Timeouts, TxStep, TxView, bumped, decide, suggested
from backend.store.chain_tables import TxAttemptRow, TxIntentRow, TxReceiptRow
from backend.store.database import Database
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.signing import Signer

_log = logging.getLogger(__name__)

TIP_WEI = 10**9


class TxManager:
    """The queue of one signer, for one process: a second process would only send the same transactions again."""

    def __init__(
        self, database: Database, port: TxPort, signer: Signer, *, confirmations: int, timeouts: Timeouts | None = None
    ) -> None:
        self._database, self._port, self._signer = database, port, signer
        self._confirmations, self._timeouts = confirmations, timeouts or Timeouts()
        self._chain_id = port.chain_id()

    @property
    def address(self) -> str:
        return self._signer.address

    def ensure(self, key: str, to: str, data: bytes, gas: int, *, now: int) -> bool:
        """Makes the intent to make this call durable; `step` sends it. Returns False if `key` was used before, for
        whatever call. Takes over an intent that another signer (a settler that was rotated away) left open.
        """
        mined = self._port.nonce(self.address)
        with self._database.begin() as session:
            row = session.get(TxIntentRow, key)
            if row is not None and (row.sender == self.address or session.get(TxReceiptRow, key) is not None):
                return False
            nonce = max(mined, self._next_nonce(session))
            new = TxIntentRow(key=key, sender=self.address, nonce=nonce, to=to, data=data, gas=gas, created_at=now)
            session.merge(new)
        _log.info("transaction %s: intended with nonce %d, gas limit %d", key, nonce, gas)
        return True

    def next_key(self, name: str) -> str | None:
        """The key for the next try of a call: `name`, or `name#n` after n reverts. None while one is under way, or when
        one has passed. An intent that another signer left open does not count: `ensure` takes it over.
        """
        with self._database.read() as session:
            for tries in count():
                key = f"{name}#{tries}" if tries else name
                intent, receipt = session.get(TxIntentRow, key), session.get(TxReceiptRow, key)
                if receipt is None:
                    return key if intent is None or intent.sender != self.address else None
                if receipt.error is None:
                    return None
        raise AssertionError("count() does not end")

    def step(self, now: int) -> list[TransactionReverted]:
        """Drives every open intent one step, by nonce. Returns those that were found to be reverted, each once."""
        intents = self._open_intents()
        if not intents:
            return []
        confirmed_block = self._port.head() - self._confirmations
        mined_nonce = self._port.nonce(self.address)
        confirmed_nonce = self._port.nonce(self.address, confirmed_block) if confirmed_block >= 0 else 0
        reverted = []
        for intent in intents:
            view = self._look(intent, mined_nonce, confirmed_nonce, confirmed_block)
            error = self._do(decide(view, now, self._timeouts), intent, view, now)
            if error is not None:
                reverted.append(error)
        return reverted

    def _open_intents(self) -> list[TxIntentRow]:
        with self._database.read() as session:
            done = select(TxReceiptRow.key)
            query = select(TxIntentRow).where(TxIntentRow.sender == self.address, col(TxIntentRow.key).not_in(done))
            return list(session.exec(query.order_by(col(TxIntentRow.nonce))))

    def _next_nonce(self, session: Session) -> int:
        highest = session.exec(select(func.max(TxIntentRow.nonce)).where(TxIntentRow.sender == self.address)).one()
        return 0 if highest is None else highest + 1

    def _look(self, intent: TxIntentRow, mined_nonce: int, confirmed_nonce: int, confirmed_block: int) -> TxView:
        with self._database.read() as session:
            query = select(TxAttemptRow).where(TxAttemptRow.key == intent.key).order_by(col(TxAttemptRow.max_fee_wei))
            rows = sorted(session.exec(query), key=lambda row: (row.sent_at, row.max_fee_wei))
        attempts = [
            Attempt(row.tx_hash, row.raw, Fees(row.max_fee_wei, row.tip_wei), row.sent_at)
            for row in rows
            if (row.sender, row.nonce) == (intent.sender, intent.nonce)
        ]
        view = TxView(intent.nonce, attempts, None, False, mined_nonce, confirmed_nonce, confirmed_block)
        if mined_nonce > intent.nonce:
            receipts = (self._port.receipt(row.tx_hash) for row in reversed(rows))
            return replace(view, mined=next((found for found in receipts if found is not None), None))
        return replace(view, known=bool(attempts) and self._port.known(attempts[-1].tx_hash))

    def _do(self, step: TxStep, intent: TxIntentRow, view: TxView, now: int) -> TransactionReverted | None:
        if step is TxStep.SIGN:
            self._sign_and_send(intent, self._suggested(), now)
        elif step is TxStep.RESEND:
            self._send(intent.key, view.attempts[-1].raw)
        elif step is TxStep.BUMP:
            self._bump(intent, view.attempts[-1].fees, now)
        elif step is TxStep.RENUMBER:
            self._renumber(intent)
        elif step is TxStep.CONFIRM:
            return self._confirm(intent, view)
        return None

    def _suggested(self) -> Fees:
        return suggested(self._port.base_fee_wei(), TIP_WEI)

    def _bump(self, intent: TxIntentRow, last: Fees, now: int) -> None:
        fees = bumped(last, self._suggested())
        if fees is None:
            _log.error("transaction %s: stuck at %d wei per gas, the ceiling", intent.key, last.max_fee_wei)
            return
        _log.warning("transaction %s: stuck, fee raised to %d wei per gas", intent.key, fees.max_fee_wei)
        self._sign_and_send(intent, fees, now)

    def _sign_and_send(self, intent: TxIntentRow, fees: Fees, now: int) -> None:
        fields = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": intent.nonce,
            "to": to_checksum_address(intent.to),
            "value": 0,
            "data": to_hex(intent.data),
            "gas": intent.gas,
            "maxFeePerGas": fees.max_fee_wei,
            "maxPriorityFeePerGas": fees.tip_wei,
        }
        raw = bytes(Account.sign_transaction(fields, self._signer.private_key()).raw_transaction)
        row = TxAttemptRow(
            tx_hash=to_hex(keccak(raw)), key=intent.key, sender=self.address, nonce=intent.nonce, raw=raw,
            max_fee_wei=fees.max_fee_wei, tip_wei=fees.tip_wei, sent_at=now,
        )  # fmt: skip
        with self._database.begin() as session:
            session.add(row)
        self._send(intent.key, raw)

    def _send(self, key: str, raw: bytes) -> None:
        """Sends the bytes. The next step finds out what a refusal means: a receipt, a pool entry, or neither."""
        try:
            self._port.send(raw)
        except NodeRefused as error:
            expected = error.refusal in (Refusal.KNOWN, Refusal.NONCE_TOO_LOW)
            _log.log(logging.DEBUG if expected else logging.WARNING, "transaction %s: %s", key, error)
        else:
            _log.info("transaction %s: sent as %s", key, to_hex(keccak(raw)))

    def _renumber(self, intent: TxIntentRow) -> None:
        """Gives the intent a new nonce: another transaction used its old one, so no attempt can be mined any more."""
        mined = self._port.nonce(self.address)
        with self._database.begin() as session:
            row = session.get_one(TxIntentRow, intent.key)
            row.nonce = max(mined, self._next_nonce(session))
            session.add(row)
        _log.error(
            "transaction %s: nonce %d was used by a transaction sent from elsewhere with this key; now %d",
            intent.key, intent.nonce, row.nonce,
        )  # fmt: skip

    def _confirm(self, intent: TxIntentRow, view: TxView) -> TransactionReverted | None:
        mined = view.mined
        assert mined is not None, "CONFIRM without a receipt"
        error = None
        if not mined.succeeded:
            reason = self._port.revert_reason(self.address, intent.to, intent.data, intent.gas, mined.block_number)
            error = TransactionReverted(key=intent.key, tx_hash=mined.tx_hash, reason=reason)
        row = TxReceiptRow(
            key=intent.key, tx_hash=mined.tx_hash, block_number=mined.block_number, gas_used=mined.gas_used,
            error=error.reason if error else None,
        )  # fmt: skip
        with self._database.begin() as session:
            session.add(row)
        _log.info("transaction %s: confirmed in block %d, gas %d", intent.key, mined.block_number, mined.gas_used)
        return error
