"""The configuration of `assay deploy`: everything that defines a network, in one TOML or JSON file.

It contains no key and no endpoint, so it can be published. Whoever deploys it deploys the same network.
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from eth_utils.address import is_checksum_address
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from contracts.onchain.origin import ANYONE, NetworkConfig
from contracts.protocol.canonical import hash_json
from contracts.protocol.constants import DEVELOPMENT, PRODUCTION, Constants
from contracts.protocol.errors import first_fault
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Address, Bytes32, Record
from deploy.deploying.errors import BadConfig

EXAMPLE = """\
chain_id      = 1
token         = "0x…"           # an ERC-20
settler       = "0x…"           # posts and settles epochs
treasury      = "0x…"           # receives the fees
guardian      = "0x…"           # may pause what comes in
beacon_anchor = "0x…"           # what `assay beacon init` printed
constants     = "production"    # or "development"
salt          = "main"          # optional: distinguishes networks with the same configuration

[overrides]                     # optional: constants by name
unit_wei = 1_000_000_000        # base units of the token in a unit: 1 for a token of 6 decimals

[governor]                      # its delay is the constant timelock_s
proposers  = ["0x…"]            # may propose, and cancel
executors  = []                 # optional: may execute proposals after the delay; anyone if empty
cancellers = []                 # optional: may cancel too, once that was proposed and executed

[[verifiers]]                   # optional, any number: each is proposed to the governor once it is registered
owner = "0x…"
key   = "0x…"
"""
_SETS = {"production": PRODUCTION, "development": DEVELOPMENT}


def _lowered(value: object) -> object:
    """Lowers an address. Raises ValueError for mixed case with a wrong checksum (EIP-55)."""
    if not isinstance(value, str) or value.lower() == value:
        return value
    if not is_checksum_address(value) and value[2:] != value[2:].upper():
        raise ValueError("has a wrong checksum, so a digit is wrong; copy it again")
    return value.lower()


def _not_zero(value: str) -> str:
    if value == ANYONE:
        raise ValueError("is the zero address; give an account")
    return value


Account = Annotated[Address, BeforeValidator(_lowered), AfterValidator(_not_zero)]


class Governor(Record):
    """The roles of the timelock. It has no admin."""

    proposers: Annotated[tuple[Account, ...], Field(min_length=1)]
    executors: tuple[Account, ...] = ()
    cancellers: tuple[Account, ...] = ()


class ProposedVerifier(Record):
    """An account to propose as a verifier: its owner, and the key that signs its verdicts."""

    owner: Account
    key: Account


class Config(Record):
    """A network to deploy."""

    chain_id: Annotated[int, Field(gt=0)]
    token: Account
    settler: Account
    treasury: Account
    guardian: Account
    beacon_anchor: Bytes32
    constants: Literal["production", "development"]
    overrides: dict[str, int] = Field(default_factory=dict)
    salt: str = ""
    governor: Governor
    verifiers: tuple[ProposedVerifier, ...] = ()

    @staticmethod
    def load(path: Path) -> "Config":
        """Reads TOML, or JSON from a .json file. Raises BadConfig, which names the key and the fault."""
        try:
            text = path.read_text()
            data: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            config = Config.model_validate_json(json.dumps(data, default=str))
            config.network()
        except OSError as error:
            raise BadConfig(path, error.strerror or str(error)) from error
        except ValidationError as error:
            raise BadConfig(path, first_fault(error)) from error
        except ValueError as error:
            raise BadConfig(path, str(error)) from error
        return config

    def network(self) -> NetworkConfig:
        """The contracts' configuration. Raises ValueError for constants that do not fit."""
        unknown = self.overrides.keys() - Constants.model_fields.keys()
        if unknown:
            raise ValueError(
                f"overrides.{min(unknown)} is no constant; they are {', '.join(sorted(Constants.model_fields))}"
            )
        constants = Constants.model_validate(_SETS[self.constants].model_dump() | self.overrides)
        misfits = constants.misfits()
        if misfits:
            raise ValueError(f"with these overrides {misfits[0]}")
        return NetworkConfig(
            token=self.token, settler=self.settler, treasury=self.treasury, guardian=self.guardian,
            beacon_anchor=self.beacon_anchor, proposers=self.governor.proposers, executors=self.governor.executors,
            constants=constants, salt=to_hex(keccak(self.salt.encode())),
        )  # fmt: skip

    def digest(self) -> str:
        """keccak-256 of the configuration's canonical JSON, whatever its file's format."""
        return to_hex(hash_json(self.model_dump(mode="json")))
