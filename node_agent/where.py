"""Finds a command's settings: an option or its environment variable, else HOME/settings.json."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import load_key
from contracts.onchain.sender import Sender
from contracts.protocol.amounts import TokenScale
from contracts.protocol.errors import BadAmount
from node_agent.errors import BadSetting
from node_agent.home import JOURNAL, NODE_KEY, OWNER_KEY, HomeSettings, address_in, load_settings, password
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import require_registered
from node_agent.session.journal import NodeJournal

_T = TypeVar("_T")


@dataclass(frozen=True)
class NodePlace:
    """A command's resources, closed when it ends. Reading a missing one raises BadSetting."""

    home: Path
    rpc_option: str | None = None
    deployment_option: Path | None = None
    backend_option: str | None = None
    owner_key_option: Path | None = None
    _open: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __enter__(self) -> "NodePlace":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def settings(self) -> HomeSettings | None:
        return load_settings(self.home)

    @cached_property
    def rpc(self) -> str:
        return self.rpc_option or _known(self.settings.rpc if self.settings else None, "--rpc URL")

    @cached_property
    def deployment(self) -> Deployment:
        if self.deployment_option is not None:
            return Deployment.load(self.deployment_option)
        return _known(self.settings.deployment if self.settings else None, "--deployment FILE")

    @cached_property
    def backend(self) -> str:
        return self.backend_option or _known(self.settings.backend if self.settings else None, "--backend URL")

    @property
    def has_backend(self) -> bool:
        return bool(self.backend_option or (self.settings and self.settings.backend))

    @property
    def owner_key(self) -> Path:
        """The owner's key file, if it is on this machine."""
        kept = self.settings.owner_key if self.settings else None
        return self.owner_key_option or (Path(kept) if kept else self.home / OWNER_KEY)

    @cached_property
    def chain(self) -> Chain:
        """The deployment over the RPC. Raises ChainError."""
        return Chain.open(self.rpc, self.deployment)

    @cached_property
    def node(self) -> str:
        """The node's address. Raises KeystoreError."""
        return address_in(self.home / NODE_KEY)

    @cached_property
    def operator_id(self) -> int:
        """The operator whose node this is, or was until its key was revoked: it still draws what it earned.

        Raises NotRegistered.
        """
        key = self.chain.stakes.functions.nodeKeys(to_checksum_address(self.node)).call()
        return require_registered(key.operatorId, self.node)

    @cached_property
    def journal(self) -> NodeJournal:
        """The node's journal. Raises JournalError."""
        journal = NodeJournal(self.home / JOURNAL, node=self.node, domain=self.deployment.domain)
        self._open.callback(journal.close)
        return journal

    def api(self, *, attempts: int = 4) -> BackendApi:
        api = BackendApi(self.backend, attempts=attempts)
        self._open.callback(api.close)
        return api

    def owner(self) -> Sender:
        """The owner as a sender. Raises KeystoreError or PasswordMissing."""
        return Sender(self.chain.w3, load_key(self.owner_key, password()))


def units_of(chain: Chain, tokens: str, *, least: int = 1) -> int:
    """Units of an amount in tokens. Raises BadSetting unless it is a whole number of units, at least `least`."""
    try:
        return _scale(chain).parse(tokens, least=least)
    except BadAmount as error:
        raise BadSetting(f"{error}.", way_out="Give tokens, e.g. 12.5", tokens=tokens) from error


def tokens_of(chain: Chain, units: int) -> str:
    return f"{_scale(chain).show(units)} tokens"


def _scale(chain: Chain) -> TokenScale:
    return TokenScale(chain.token.functions.decimals().call(), chain.deployment.constants.unit_wei)


def _known(value: _T | None, option: str) -> _T:
    if value is None:
        says = f"{option} is not known."
        way_out = "Run `assay node init --backend URL --rpc URL` once, which keeps it, or give the option."
        raise BadSetting(says, way_out=way_out, option=option)
    return value
