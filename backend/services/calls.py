"""Asks for a contract call after the chain has said that it would pass."""

from backend.chain.tx_manager import TxManager
from contracts.onchain.contract import ContractCall
from contracts.protocol.hashing import from_hex

_MARGIN_PERCENT = 130


def ensure_call(manager: TxManager, key: str, function: ContractCall, now: int, *, gas: int | None = None) -> None:
    """Persists the intent. Raises Reverted, and persists nothing, if the chain would refuse the call now.

    `gas`: the gas limit if there is a formula for it; by default the node's estimate with a margin.
    """
    caller = {"from": manager.address}
    if gas is None:
        gas = function.estimate_gas(caller) * _MARGIN_PERCENT // 100
    else:
        function.call({**caller, "gas": gas})
    manager.ensure(key, function.address, from_hex(function.data), gas, now=now)
