"""Tells JSON-RPC errors apart: a contract's error (by the committed ABIs), a rate limit, or a refused request."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from contracts.onchain.artifacts import CONTRACTS, artifact
from contracts.onchain.contract import kind
from contracts.onchain.errors import ChainError, EndpointLimited, RequestRefused, Reverted
from contracts.protocol.hashing import from_hex, keccak, to_hex

_BUILT_IN = {"Error(string)": ["string"], "Panic(uint256)": ["uint256"]}
_EXECUTES = ("eth_call", "eth_estimateGas")
_REVERTED = 3
_LIMIT_EXCEEDED = -32005
_LIMIT_WORDS = ("rate limit", "too many requests", "request limit", "compute units per second", "capacity")
_REVERT_WORDS = ("revert", "invalid opcode", "vm exception", "evm error", "stack overflow", "stack underflow")
"""In the messages of geth, reth, Anvil, Hardhat, py-evm and public endpoints."""
_RANGE_WORDS = ("range", "more than", "results")
"""Some endpoints use the rate limit's code for a query with too many blocks or logs."""


def refusal(endpoint: str, method: str, error: Mapping[str, Any]) -> ChainError:
    """The exception for a JSON-RPC error: Reverted, EndpointLimited or RequestRefused."""
    words, number, data = str(error.get("message", "no words")), error.get("code"), _data(error.get("data"))
    lowered = words.lower()
    if method in _EXECUTES and (data or number == _REVERTED or any(word in lowered for word in _REVERT_WORDS)):
        return decode_revert(data, words)
    too_much = method == "eth_getLogs" and any(word in lowered for word in _RANGE_WORDS)
    if not too_much and (number == _LIMIT_EXCEEDED or any(word in lowered for word in _LIMIT_WORDS)):
        return EndpointLimited(endpoint, words)
    return RequestRefused(endpoint, method, number, words)


def _data(found: Any) -> str | None:
    """The revert data. Some endpoints nest it, or put a word in front."""
    if isinstance(found, Mapping):
        return _data(found.get("data"))
    found = str(found).removeprefix("Reverted ")
    return found if found.startswith("0x") else None


def decode_revert(data: str | None, fallback: str) -> Reverted:
    """The error in revert data: one of our contracts', OpenZeppelin's, or Solidity's."""
    try:
        raw = from_hex(data or "0x")
        known = _errors().get(raw[:4])
        if known is not None:
            return Reverted(known[0], tuple(decode(known[1], raw[4:])))
    except (ValueError, DecodingError):
        return Reverted(fallback)
    return Reverted(f"unknown error {to_hex(raw[:4])}" if raw else fallback)


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    table = {keccak(signature.encode())[:4]: (signature.split("(")[0], types) for signature, types in _BUILT_IN.items()}
    for name in CONTRACTS:
        for item in artifact(name).abi:
            if item["type"] == "error":
                types = [kind(argument) for argument in item["inputs"]]
                table[keccak(f"{item['name']}({','.join(types)})".encode())[:4]] = (item["name"], types)
    return table
