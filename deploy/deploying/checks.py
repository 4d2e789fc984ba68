"""Checks before anything is sent: the chain's id, the token, pending transactions, the ether."""

import time

from eth_utils.address import to_checksum_address

from contracts.onchain.errors import Reverted, WrongChain
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import from_hex, keccak
from contracts.protocol.records import U64
from deploy.deploying.errors import EmptyAccount, StuckTransactions, UnusableToken

_LEAST_TOKENS_IN_UINT64 = 10**9
"""Tokens that the contracts' 64-bit amounts must be able to count."""
_POLL_S = 0.5


def check_chain(w3: Rpc, expected: int) -> None:
    """Raises WrongChain."""
    found = w3.eth.chain_id
    if found != expected:
        raise WrongChain(expected=expected, found=found, rpc_url=w3.endpoint)


def check_token(w3: Rpc, token: str, unit_wei: int, holder: str) -> None:
    """Raises UnusableToken unless the token answers like an ERC-20 and `unit_wei` suits its decimals.

    Fees and rebasing only show when money moves; the contracts check every transfer for them.
    """
    if not w3.eth.get_code(to_checksum_address(token)):
        raise UnusableToken(token, "has no code on this chain; check the address and the chain")
    account = from_hex(holder).rjust(32, b"\0")
    decimals = _word(w3, token, "decimals()", b"", holder)
    reads = {"totalSupply()": b"", "balanceOf(address)": account, "allowance(address,address)": account * 2}
    for signature, arguments in reads.items():
        _word(w3, token, signature, arguments, holder)
    answer = _ask(w3, token, "transfer(address,uint256)", account + bytes(32), holder)
    if answer and int.from_bytes(answer, "big") != 1:
        raise UnusableToken(token, f"answers a transfer of nothing with 0x{answer.hex()[:64]}; take an ERC-20")
    if decimals > 36 or 10**decimals % unit_wei or 10**decimals * _LEAST_TOKENS_IN_UINT64 // unit_wei > U64:
        raise UnusableToken(
            token,
            f"has {decimals} decimals, which unit_wei = {unit_wei} does not suit: a token must be a whole number of "
            f"units and 64 bits must hold {_LEAST_TOKENS_IN_UINT64:,} tokens; set overrides.unit_wei (10^9 at 18 "
            "decimals, 1 at 6), and with it every constant that ends in _units",
        )


def _word(w3: Rpc, token: str, signature: str, arguments: bytes, holder: str) -> int:
    answer = _ask(w3, token, signature, arguments, holder)
    if len(answer) != 32:
        raise UnusableToken(token, f"answers {signature} with {len(answer)} bytes, not 32; take an ERC-20")
    return int.from_bytes(answer, "big")


def _ask(w3: Rpc, token: str, signature: str, arguments: bytes, holder: str) -> bytes:
    data = keccak(signature.encode())[:4] + arguments
    try:
        return bytes(w3.eth.call({"to": to_checksum_address(token), "from": to_checksum_address(holder), "data": data}))
    except Reverted as error:
        raise UnusableToken(token, f"refuses {signature}: {error}; take an ERC-20 that is not paused") from error


def check_queue(sender: Sender, wait_s: float) -> None:
    """Waits for an earlier run's transactions. Raises StuckTransactions if they are not mined in time."""
    until = time.monotonic() + wait_s
    while waiting := _waiting(sender):
        if time.monotonic() > until:
            raise StuckTransactions(sender.address, waiting)
        time.sleep(_POLL_S)


def _waiting(sender: Sender) -> int:
    count = sender.w3.eth.get_transaction_count
    return count(sender.address, "pending") - count(sender.address, "latest")


def check_balance(sender: Sender, needs_wei: int) -> None:
    """Raises EmptyAccount."""
    has_wei = sender.w3.eth.get_balance(sender.address)
    if has_wei < needs_wei:
        raise EmptyAccount(address=sender.address, has_wei=has_wei, needs_wei=needs_wei)
