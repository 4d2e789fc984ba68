"""Where a command finds what it was not told: an option or its environment variable, else HOME/settings.json."""

from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import load_key
from contracts.onchain.sender import Sender
from contracts.protocol.amounts import TokenScale
from contracts.protocol.errors import BadAmount
from node_agent.app import require_known
from node_agent.errors import BadSetting
from node_agent.home import JOURNAL, NODE_KEY, OWNER_KEY, HomeSettings, address_in, load_settings, password
from node_agent.session.backend_api import BackendApi
from node_agent.session.chain_facts import call
from node_agent.session.journal import NodeJournal


@dataclass(frozen=True)
class NodePlace:
    """A command's surroundings, closed at its end. What is missing raises BadSetting when it is asked for."""

    home: Path
    rpc_option: str | None = None
    deployment_option: Path | None = None
    backend_option: str | None = None
    owner_key_option: Path | None = None

    def __enter__(self) -> "NodePlace":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def _open(self) -> ExitStack:
        """What is closed when the command ends."""
        return ExitStack()

    @cached_property
    def settings(self) -> HomeSettings | None:
        """What init wrote, if it ran."""
        return load_settings(self.home)

    @cached_property
    def rpc(self) -> str:
        """URL of the chain."""
        return self.rpc_option or _found(self.settings.rpc if self.settings else None, "--rpc URL")

    @cached_property
    def deployment(self) -> Deployment:
        """The contracts."""
        if self.deployment_option is not None:
            return Deployment.load(self.deployment_option)
        if self.settings is None:
            raise _unknown("--deployment FILE")
        return self.settings.deployment

    @cached_property
    def backend(self) -> str:
        """Base URL of the backend."""
        return self.backend_option or _found(self.settings.backend if self.settings else None, "--backend URL")

    @property
    def has_backend(self) -> bool:
        """Whether a backend is known."""
        return bool(self.backend_option or (self.settings and self.settings.backend))

    @property
    def owner_key(self) -> Path:
        """Where the owner's key file is, if it is on this machine."""
        if self.owner_key_option is not None:
            return self.owner_key_option
        kept = self.settings.owner_key if self.settings else None
        return Path(kept) if kept else self.home / OWNER_KEY

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
        """The operator whose node this is, or was until its key was revoked: what it earned stays its own.
        Raises NotRegistered."""
        key = call(self.chain.stakes.functions.nodeKeys(to_checksum_address(self.node)))
        return require_known(key.operatorId, self.node)

    @cached_property
    def journal(self) -> NodeJournal:
        """The node's journal. Raises JournalError."""
        journal = NodeJournal(self.home / JOURNAL, node=self.node, domain=self.deployment.domain)
        self._open.callback(journal.close)
        return journal

    def api(self, *, attempts: int = 4) -> BackendApi:
        """The backend."""
        api = BackendApi(self.backend, attempts=attempts)
        self._open.callback(api.close)
        return api

    def owner(self) -> Sender:
        """The owner, to send with. Raises KeystoreError or PasswordMissing."""
        return Sender(self.chain.w3, load_key(self.owner_key, password()))


def units_of(chain: Chain, tokens: str, *, least: int = 1) -> int:
    """Units of so many tokens. Raises BadSetting for what is no whole number of at least so many units."""
    scale = TokenScale(call(chain.token.functions.decimals()), chain.deployment.constants.unit_wei)
    try:
        return scale.parse(tokens, least=least)
    except BadAmount as error:
        raise BadSetting(f"{error}.", way_out="Give tokens, e.g. 12.5", tokens=tokens) from error


def tokens_of(chain: Chain, units: int) -> str:
    """Units as tokens, for people."""
    wei = Decimal(units * chain.deployment.constants.unit_wei)
    return f"{wei.scaleb(-call(chain.token.functions.decimals())).normalize():f} tokens"


def _found(value: str | None, option: str) -> str:
    if value is None:
        raise _unknown(option)
    return value


def _unknown(option: str) -> BadSetting:
    return BadSetting(
        f"{option} is not known.",
        way_out="Run `assay node init --backend URL --rpc URL` once, which keeps it, or give the option.",
        option=option,
    )
