"""Keys of everybody that tests know by name, the same in every run."""

from eth_utils.address import to_checksum_address

from contracts.protocol.hashing import keccak
from contracts.protocol.signing import Signer
from verifier.beacon.chain import BeaconChain

BEACON_SECRET, BEACON_LENGTH = b"\7" * 32, 1024
BEACON = BeaconChain(BEACON_SECRET, BEACON_LENGTH)
"""What every founded chain is anchored in."""


def key(name: str) -> Signer:
    """A party's key."""
    return Signer(keccak(name.encode()))


def owner_of(name: str) -> Signer:
    """The key that owns the account of a node or a verifier."""
    return key(f"owner of {name}")


def address(signer: Signer) -> str:
    """As the contracts' functions take it."""
    return str(to_checksum_address(signer.address))
