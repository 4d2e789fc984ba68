"""Asks for a contract call to happen once, under a key, after the chain has said that it would pass."""

from backend.chain.tx_manager import TxManager
from contracts.onchain.contract import ContractCall
from contracts.protocol.hashing import from_hex

_MARGIN_PERCENT = 130


def open_key(manager: TxManager, key: str) -> str:
    """The key to use now: `key`, or after n confirmed reverts `key#n`. The contracts refuse what happened already."""
    tries, current = 0, key
    while (outcome := manager.outcome(current)) is not None and outcome.error is not None:
        tries += 1
        current = f"{key}#{tries}"
    return current


def ensure_call(manager: TxManager, key: str, function: ContractCall, now: int, *, gas: int | None = None) -> None:
    """Persists the intent unless the chain refuses the call as things stand: then raises Reverted, and nothing is kept.

    `gas`: the limit by formula; without it the node estimates.
    """
    caller = {"from": manager.address}
    if gas is None:
        gas = function.estimate_gas(caller) * _MARGIN_PERCENT // 100
    else:
        function.call({**caller, "gas": gas})
    manager.ensure(key, function.address, from_hex(function.data), gas, now=now)
