"""Errors of `assay deploy`, and of networks that differ from their file.

DeployError
├── BadConfig            a configuration that is missing or invalid
├── OtherDeployment      the address file to be written describes another network
├── UnusableToken        no token, or one that the contracts cannot count
├── EmptyAccount         the account cannot pay for the transactions
├── StuckTransactions    earlier transactions of the account are not mined
├── OtherBuild           the file's network is not of this build, or the file was changed
└── AdminLeft            an account could skip the governor's delay
"""

from collections.abc import Sequence
from pathlib import Path

from contracts.protocol.errors import AssayError


class DeployError(AssayError):
    """Base of the errors of `assay deploy`."""


class BadConfig(DeployError):
    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}", way_out="`assay deploy --example` prints one with every key")


class OtherDeployment(DeployError):
    def __init__(self, path: Path, differing: Sequence[str]) -> None:
        way_out = "give another file with --out, or the configuration that this file came from"
        super().__init__(f"{path} describes another network: {'; '.join(differing)}. Nothing was sent", way_out=way_out)


class UnusableToken(DeployError):
    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"token {address} {why}")


class EmptyAccount(DeployError):
    def __init__(self, *, address: str, has_wei: int, needs_wei: int) -> None:
        super().__init__(
            f"{address} has {_ether(has_wei)} ether and needs up to {_ether(needs_wei)} for what is still to be sent, "
            "at twice the present base fee. Nothing was sent",
            way_out="send it ether and run the same again",
        )


class StuckTransactions(DeployError):
    def __init__(self, address: str, count: int) -> None:
        super().__init__(
            f"{count} transactions of {address}, of an earlier run or another program, are not mined",
            way_out="nothing was sent. Run the same again when they are mined, or replace them with a higher fee",
        )


class OtherBuild(DeployError):
    def __init__(self, path: Path, differing: Sequence[str]) -> None:
        super().__init__(
            f"{path} is not what this build derives from its configuration: {'; '.join(differing)}. Check it with the "
            "release that deployed it, and take the file from the network's own pages"
        )


class AdminLeft(DeployError):
    def __init__(self, account: str, governor: str) -> None:
        super().__init__(
            f"{account} is an admin of the governor {governor}: it can give itself any role without a delay",
            way_out="do not use this network until it has renounced DEFAULT_ADMIN_ROLE",
        )


def _ether(wei: int) -> str:
    """Rounded up, so that it is enough."""
    micro = -(-wei // 10**12)
    return f"{micro // 10**6}.{micro % 10**6:06}"
