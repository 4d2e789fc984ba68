"""Declares requesters' commands, and opens what their options name: a key, a chain, a wallet, a client.

Each option can also come from its ASSAY_* variable. `assay` sets those for the network of the present folder
(deploy/settings.py), so that no options are needed there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.client.errors import NotConfigured

if TYPE_CHECKING:
    from backend.client.jobs import AssayClient
    from backend.client.wallet import Wallet
    from contracts.onchain.chain import Chain
    from contracts.protocol.amounts import TokenScale
    from contracts.protocol.signing import Signer

KEY_FILE, RECEIPTS, TOKENIZERS = "requester.json", "receipts", "tokenizers"

JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for machines")]
_PLACE: dict[str, Any] = {
    "home": Annotated[Path | None, typer.Option(envvar="ASSAY_HOME", help="folder with the key file requester.json")],
    "rpc": Annotated[str | None, typer.Option(envvar="ASSAY_RPC", help="URL of the chain")],
    "deployment": Annotated[Path | None, typer.Option(envvar="ASSAY_DEPLOYMENT", help="the deployment file")],
    "backend": Annotated[str | None, typer.Option(envvar="ASSAY_BACKEND", help="URL of the coordinator")],
    "session": Annotated[str | None, typer.Option(envvar="ASSAY_SESSION", help="use this session's lane and key")],
}
ON_CHAIN = ("home", "deployment", "rpc")
WITH_BACKEND = ("home", "deployment", "backend", "rpc")


def client_command(
    app: typer.Typer, name: str, *options: str, **settings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declares a command whose first parameter is the ClientPlace made from these options. `settings`: for typer."""

    def declare(run: Callable[..., None]) -> Callable[..., None]:
        @wraps(run)
        def command(**given: Any) -> None:
            run(ClientPlace(**{each: given.pop(each) for each in options}), **given)

        own = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in list(signature(run).parameters.values())[1:]]
        own += [Parameter(one, Parameter.KEYWORD_ONLY, default=None, annotation=_PLACE[one]) for one in options]
        command.__signature__ = Signature(own)  # type: ignore[attr-defined]  # what typer reads
        command.__annotations__ = {one.name: one.annotation for one in own}
        app.command(name, **settings)(command)
        return run

    return declare


def time_of(seconds: int) -> str:
    """Unix seconds as local time."""
    return datetime.fromtimestamp(seconds).isoformat(sep=" ")


def password_of(file: Path) -> str:
    """The password of a key file, or for a new one. Raises NotConfigured."""
    password = os.environ.get("ASSAY_PASSWORD")
    if password is None:
        raise NotConfigured(
            option="--password-file (before the command)",
            variable="ASSAY_PASSWORD or ASSAY_PASSWORD_FILE",
            what=f"the password of {file}",
        )
    return password


@dataclass(frozen=True)
class ClientPlace:
    """The options as given. Each method raises NotConfigured if it lacks one."""

    home: Path | None = None
    rpc: str | None = None
    deployment: Path | None = None
    backend: str | None = None
    session: str | None = None

    def folder(self) -> Path:
        if self.home is None:
            raise NotConfigured(option="--home", variable="ASSAY_HOME", what="the folder of your key file")
        return self.home

    def key(self, file: Path | None = None) -> "Signer":
        """The requester's key, or the one in `file`, decrypted."""
        from contracts.onchain.keystore import load_key

        file = file or self.folder() / KEY_FILE
        return load_key(file, password_of(file))

    def chain(self) -> "Chain":
        if self.rpc is None:
            raise NotConfigured(option="--rpc", variable="ASSAY_RPC", what="the URL of the chain")
        if self.deployment is None:
            raise NotConfigured(option="--deployment", variable="ASSAY_DEPLOYMENT", what="the deployment file")
        from contracts.onchain.chain import Chain
        from contracts.onchain.deployment import Deployment

        return Chain.open(self.rpc, Deployment.load(self.deployment))

    def wallet(self) -> "Wallet":
        chain, key = self.chain(), self.key()
        from backend.client.wallet import Wallet

        return Wallet(chain, key)

    def client(self) -> "tuple[AssayClient, TokenScale]":
        """The client of the requester or its session, and the scale for amounts."""
        if self.backend is None:
            raise NotConfigured(option="--backend", variable="ASSAY_BACKEND", what="the URL of the coordinator")
        chain = self.chain()
        from backend.client.jobs import AssayClient
        from backend.client.lane_lock import lane_lock
        from backend.client.sessions import find_session, key_file
        from backend.client.wallet import scale_of

        if self.session is None:
            key, requester = self.key(), None
        else:
            session = find_session(self.folder(), self.session)
            key, requester = self.key(key_file(self.folder(), session.name)), session.requester
        lock = lane_lock(self.folder(), requester or key.address, key.address)
        kept = self.folder() / TOKENIZERS
        client = AssayClient(self.backend, key, requester, chain, lock=lock, tokenizers=kept)
        return client, scale_of(chain)
