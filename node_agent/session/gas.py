"""The most that an operator's transactions cost now, to tell how much must be funded.

The gas limits are Sender's: an estimate with a margin, measured on Anvil, rounded up.
"""

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain

REGISTER_GAS, NODE_KEY_GAS, APPROVE_GAS, STAKE_GAS, PAY_GAS = 220_000, 220_000, 130_000, 220_000, 21_000
APPEAL_GAS = 150_000
APPEALS_FUNDED = 5
"""`assay node init` leaves gas for so many appeals on the hot key."""


def gas_price_wei(chain: Chain) -> int:
    """The most that Sender pays for a unit of gas now."""
    base = chain.w3.eth.get_block("latest").get("baseFeePerGas", 0)
    return int(2 * base + 10**9)


def balance_wei(chain: Chain, address: str) -> int:
    """The native coin that an address holds."""
    return int(chain.w3.eth.get_balance(to_checksum_address(address)))


def appeal_wei(chain: Chain) -> int:
    """The highest cost of one appeal."""
    return APPEAL_GAS * gas_price_wei(chain)


def ether(wei: int) -> str:
    """An amount in ether, rounded up to four significant digits, so that it is enough."""
    if wei <= 0:
        return "0"
    step = 10 ** max(0, len(str(wei)) - 4)
    rounded = -(-wei // step) * step
    whole, part = divmod(rounded, 10**18)
    return f"{whole}.{part:018d}".rstrip("0").rstrip(".")
