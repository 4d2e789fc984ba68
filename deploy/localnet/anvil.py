"""Finds Anvil and starts it with the embedded chain's settings."""

import shutil
from pathlib import Path

from contracts.onchain.chain import connect
from contracts.onchain.errors import ChainUnavailable
from contracts.protocol.errors import AssayError

_NODE_MODULES = Path(__file__).parents[2] / "contracts" / "node_modules" / "@foundry-rs"


class NoAnvil(AssayError):
    """Anvil is not installed."""


def find_anvil() -> str:
    """The Anvil binary, on the PATH or where `make test` installs it."""
    found = shutil.which("anvil") or next(map(str, _NODE_MODULES.glob("anvil-*/bin/anvil")), None)
    if found is None:
        raise NoAnvil(
            "anvil is neither on the PATH nor in contracts/node_modules", way_out="run `npm ci` in contracts/"
        )
    return found


def anvil_options(port: int) -> list[str]:
    """Mines a block a second, on the embedded chain's fork and chain id."""
    return ["--port", str(port), "--hardfork", "prague", "--block-time", "1", "--chain-id", "31337", "--silent"]


def answers(rpc_url: str) -> bool:
    """Whether a JSON-RPC server answers there."""
    try:
        connect(rpc_url, timeout_s=2.0).eth.block_number  # noqa: B018
    except ChainUnavailable:
        return False
    return True
