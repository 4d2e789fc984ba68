"""Every command starts at once: what its help needs is light. And none takes an amount that moves nothing."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.assay import app

HEAVY = (
    "web3", "eth_account", "eth_abi", "eth_tester", "eth", "torch", "numpy", "tokenizers", "safetensors", "gguf",
    "transformers", "fastapi", "starlette", "uvicorn", "sqlalchemy", "sqlmodel", "httpx",
)  # fmt: skip

_WALK = """
import json, sys
from typer.main import get_command
from typer.testing import CliRunner
from deploy.assay import app

def paths(command, context, path):
    yield path
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from paths(command.get_command(context, name), context, [*path, name])

root, heavy, blamed = get_command(app), sys.argv[1].split(), {}
context = root.make_context("assay", ["--help"], resilient_parsing=True)
seen = []
for path in paths(root, context, []):
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0, (path, result.output)
    seen.append(" ".join(path))
    for module in heavy:
        if module in sys.modules:
            blamed.setdefault(module, " ".join(path))
print(json.dumps({"seen": seen, "blamed": blamed}))
"""


def test_no_commands_help_loads_what_is_heavy(tmp_path: Path) -> None:
    """Help of every command, walked in a fresh process, loads no chain, server, database or engine library."""
    done = subprocess.run(
        [sys.executable, "-c", _WALK, " ".join(HEAVY)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"jobs submit", "node status", "audit", "wallet session new", "up", "demo"} <= set(found["seen"])
    assert found["blamed"] == {}


_ASK = """
import sys
from deploy.assay import app
from typer.testing import CliRunner
result = CliRunner().invoke(app, sys.argv[2:])
assert result.exception.code == "chain_unavailable", result.exception
print(*(module for module in sys.argv[1].split() if module in sys.modules))
"""
SLOW_TO_IMPORT = ("web3", "eth_account", "eth_keyfile", "py_ecc", "aiohttp", "requests", "eth_tester", "torch")
NOWHERE = ("--rpc", "http://127.0.0.1:1", "--escrow", "0x" + "11" * 20, "--log", "http://127.0.0.1:1")


@pytest.mark.parametrize("command", [("audit",), ("verify", "--job", "0x" + "22" * 32)], ids=lambda each: each[0])
def test_a_command_asks_a_chain_before_anything_slow_is_imported(command: tuple[str, ...], tmp_path: Path) -> None:
    """Protects the second within which any command starts: web3 alone would take one."""
    ask = [sys.executable, "-c", _ASK, " ".join(SLOW_TO_IMPORT), *command, *NOWHERE]
    done = subprocess.run(ask, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_the_version_is_the_packages() -> None:
    """`assay --version` needs no command and no network."""
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"assay {version('assay')}\n")


@pytest.mark.parametrize("amount", ["0", "-5", "0.0"])
@pytest.mark.parametrize(
    "command",
    [
        ["wallet", "deposit"],
        ["wallet", "withdraw"],
        ["wallet", "session", "new", "program", "--amount"],
        ["node", "stake"],
        ["faucet", "0x" + "11" * 20, "--tokens"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_amounts_of_nothing_are_refused_first(command: list[str], amount: str, tmp_path: Path) -> None:
    """Before a key is opened or a chain asked: nothing here is configured, and that is not what is said."""
    if command[0] == "faucet":
        amount = str(int(float(amount)))
    environment = {"ASSAY_HOME": str(tmp_path), "ASSAY_RPC": "http://127.0.0.1:1", "ASSAY_DEPLOYMENT": "none.json"}
    refused = CliRunner(env=environment).invoke(app, [*command, amount])
    assert refused.exit_code == 1
    assert getattr(refused.exception, "code", None) == "bad_amount"
    assert repr(amount) in str(refused.exception)
    assert list(tmp_path.iterdir()) == []
