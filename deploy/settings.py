"""Finds a command's network: by `client.json` in the folder of `assay up`, which has everything, or by
`deployment.json`, the address file of `assay deploy`, which has the contracts.

Fills in the ASSAY_* variables that the command's options read. So an option beats the environment, and the environment
beats the file. The password of a key folder may be in a file `password` beside its keys, or in ASSAY_PASSWORD_FILE.
"""

import json
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from contracts.protocol.errors import AssayError
from contracts.protocol.records import Address, Bytes32, Record

CLIENT_FILE, DEPLOYMENT_FILE, NETWORK_FOLDER = "client.json", "deployment.json", ".assay-net"
_HOMES = {
    "jobs": "requester",
    "wallet": "requester",
    "node": "node",
    "verifier": "verifier",
    "beacon": "beacon",
    "serve": "backend",
    "worker": "backend",
    "workloads": "backend",
    "ledger": "backend",
}
_WITHOUT = ("up", "demo", "chain", "models", "deploy")
"""Commands that make networks or need none."""


class SettingsError(AssayError):
    """A file with settings that cannot be used."""

    code = "bad_settings"


class ClientFile(Record):
    """The endpoints of a folder's network. The deployment and the key folders are beside the file.

    `build`: identifies the contracts that were deployed.
    """

    rpc: str
    backend: str
    beacon: str
    escrow: Address
    build: Bytes32

    @staticmethod
    def load(network: Path) -> "ClientFile":
        path = network / CLIENT_FILE
        try:
            return ClientFile.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise SettingsError(
                f"{path} is no client file: {error}", way_out="start `assay up` again, or give the options yourself"
            ) from error


def fill_in(command: str, arguments: Sequence[str], environ: MutableMapping[str, str], folder: Path) -> Path | None:
    """Sets the missing variables of a command run in `folder`. Returns the folder of `assay up`, if there is one."""
    network = addresses = None
    if command not in _WITHOUT:
        network = _find(CLIENT_FILE, arguments, environ, folder)
        addresses = _find(DEPLOYMENT_FILE, arguments, environ, folder)
    defaults: dict[str, str] = {}
    if network is not None:
        defaults = _defaults(network, command)
    elif addresses is not None:
        defaults = _contracts(addresses / DEPLOYMENT_FILE)
    for name, value in defaults.items():
        environ.setdefault(name, value)
    home = _option(arguments, "--home") or environ.get("ASSAY_HOME")
    if "ASSAY_PASSWORD" not in environ:
        _read_password(environ, home)
    return network


def _find(file: str, arguments: Sequence[str], environ: MutableMapping[str, str], folder: Path) -> Path | None:
    home = _option(arguments, "--home") or environ.get("ASSAY_HOME")
    places = [folder / home, (folder / home).parent] if home else []
    places += [folder / environ["ASSAY_NET"]] if environ.get("ASSAY_NET") else [folder, folder / NETWORK_FOLDER]
    return next((place.resolve() for place in places if (place / file).is_file()), None)


def _defaults(network: Path, command: str) -> dict[str, str]:
    file = ClientFile.load(network)
    found = {
        "ASSAY_RPC": file.rpc,
        "ASSAY_BACKEND": file.backend,
        "ASSAY_BEACON": file.beacon,
        "ASSAY_ESCROW": file.escrow,
        "ASSAY_LOG": f"{file.backend}/v1/log",
        "ASSAY_DEPLOYMENT": str(network / DEPLOYMENT_FILE),
    }
    return found | ({"ASSAY_HOME": str(network / _HOMES[command])} if command in _HOMES else {})


def _contracts(file: Path) -> dict[str, str]:
    """The variables that follow from an address file."""
    try:
        escrow = str(json.loads(file.read_bytes())["escrow"])
    except (ValueError, KeyError, TypeError) as error:
        way_out = "write it again with `assay deploy`, or call the command elsewhere"
        raise SettingsError(f"{file} is no address file: {error!r}", way_out=way_out) from error
    return {"ASSAY_DEPLOYMENT": str(file), "ASSAY_ESCROW": escrow}


def _read_password(environ: MutableMapping[str, str], home: str | None) -> None:
    named = environ.get("ASSAY_PASSWORD_FILE")
    file = Path(named) if named else Path(home) / "password" if home else None
    if file is None or not (named or file.is_file()):
        return
    if not file.is_file():
        raise SettingsError(f"ASSAY_PASSWORD_FILE {file} is no file", way_out="give the file that holds the password")
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise SettingsError(
            f"{file} has mode {mode:o}: others may read the password", way_out=f"run `chmod 600 {file}`"
        )
    environ["ASSAY_PASSWORD"] = file.read_text().strip()


def _option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option, anywhere among the arguments."""
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
        if argument == name and place + 1 < len(arguments):
            return arguments[place + 1]
    return None
