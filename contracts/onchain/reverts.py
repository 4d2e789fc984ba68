"""Names the contract's own error behind a refused call: its selector and values, read with the committed ABIs."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from json import JSONDecodeError
from typing import Any

from eth_abi.abi import decode
from requests.exceptions import HTTPError, RequestException
from web3.exceptions import BadResponseFormat, ContractLogicError, Web3RPCError

from contracts.onchain.artifacts import CONTRACTS, artifact
from contracts.onchain.errors import ChainUnavailable, Reverted
from contracts.protocol.hashing import from_hex, keccak

_BUILT_IN = {"Error(string)": ["string"], "Panic(uint256)": ["uint256"]}


@contextmanager
def explain(endpoint: str = "the RPC endpoint") -> Iterator[None]:
    """Turns web3's exceptions for a refused call into Reverted, for no answer into ChainUnavailable."""
    try:
        yield
    except ContractLogicError as error:
        raise decode_revert(error.data if isinstance(error.data, str) else None, str(error)) from error
    except Web3RPCError as error:
        raise Reverted(str(error.args[0])) from error
    except (RequestException, BadResponseFormat, JSONDecodeError, UnicodeDecodeError) as error:
        raise ChainUnavailable(endpoint, _why(error)) from error


def _why(error: Exception) -> str:
    """What happened, without the URL that requests puts into its messages: it may hold a key."""
    if isinstance(error, HTTPError) and error.response is not None:
        return f"it answers with status {error.response.status_code}"
    if isinstance(error, BadResponseFormat | JSONDecodeError | UnicodeDecodeError):
        return "it answers, but not as a chain does"
    reason: object = error
    while isinstance(
        inner := getattr(reason, "reason", None) or next(iter(getattr(reason, "args", ())), None), Exception
    ):
        reason = inner
    cause = getattr(reason, "__cause__", None) or reason
    return f"{type(error).__name__}: {getattr(cause, 'strerror', None) or type(cause).__name__}"


def decode_revert(data: str | None, fallback: str) -> Reverted:
    """The error behind revert data: one of our contracts', OpenZeppelin's, or Solidity's own."""
    if not data or not data.startswith("0x") or len(data) < 10:
        return Reverted(fallback)
    raw = from_hex(data)
    known = _errors().get(raw[:4])
    if known is None:
        return Reverted(f"unknown error {data[:10]}")
    name, types = known
    return Reverted(name, tuple(decode(types, raw[4:])))


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    table = {keccak(signature.encode())[:4]: (signature.split("(")[0], types) for signature, types in _BUILT_IN.items()}
    for name in CONTRACTS:
        for item in artifact(name).abi:
            if item["type"] == "error":
                types = [_type(argument) for argument in item["inputs"]]
                table[keccak(f"{item['name']}({','.join(types)})".encode())[:4]] = (item["name"], types)
    return table


def _type(argument: dict[str, Any]) -> str:
    """The canonical ABI type, tuples spelt out."""
    kind: str = argument["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(_type(part) for part in argument["components"]) + ")" + kind[len("tuple") :]
    return kind
