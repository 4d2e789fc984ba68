"""The configuration of `assay deploy`: everything that a network is made of, in one TOML or JSON file.

There is no key in it and no endpoint: it can be published, and whoever deploys it deploys the same network.
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
treasury      = "0x…"           # fees go there
guardian      = "0x…"           # may pause what comes in
beacon_anchor = "0x…"           # what `assay beacon init` printed
constants     = "production"    # or "development"
salt          = "main"          # optional: tells networks with the same numbers apart

[overrides]                     # optional: constants by name
unit_wei = 1_000_000_000        # base units of the token in a unit: 1 for a token of 6 decimals

[governor]                      # its delay is the constant timelock_s
proposers  = ["0x…"]            # may propose, and cancel
executors  = []                 # optional: who may execute what waited; anyone if empty
cancellers = []                 # optional: who else may cancel, when that was proposed and executed

[[verifiers]]                   # optional, any number: each is proposed to the governor when it is registered
owner = "0x…"
key   = "0x…"
"""
_SETS = {"production": PRODUCTION, "development": DEVELOPMENT}


def _lowered(value: object) -> object:
    """An address in one case, or mixed case with the right checksum (EIP-55)."""
    if not isinstance(value, str) or value.lower() == value:
        return value
    if not is_checksum_address(value) and value[2:] != value[2:].upper():
        raise ValueError("the checksum of its mixed case is wrong, so a digit is; copy it again")
    return value.lower()


def _somebody(value: str) -> str:
    if value == ANYONE:
        raise ValueError("is the zero address, which is nobody; give an account")
    return value


Account = Annotated[Address, BeforeValidator(_lowered), AfterValidator(_somebody)]


class Governor(Record):
    """Who may do what with the timelock. Nobody is its admin."""

    proposers: Annotated[tuple[Account, ...], Field(min_length=1)]
    executors: tuple[Account, ...] = ()
    cancellers: tuple[Account, ...] = ()


class VerifierToBe(Record):
    """An account to propose as a verifier, by its owner, with the key that it signs verdicts with."""

    owner: Account
    key: Account


class Config(Record):
    """What is deployed."""

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
    verifiers: tuple[VerifierToBe, ...] = ()

    @staticmethod
    def load(path: Path) -> "Config":
        """Reads TOML, or JSON if the file's name ends so. Raises BadConfig, naming the key and what is wrong."""
        try:
            text = path.read_text()
            data: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            config = Config.model_validate_json(json.dumps(data, default=str))
            config.charter()
        except OSError as error:
            raise BadConfig(path, error.strerror or str(error)) from error
        except ValidationError as error:
            raise BadConfig(path, first_fault(error)) from error
        except ValueError as error:
            raise BadConfig(path, str(error)) from error
        return config

    def charter(self) -> NetworkConfig:
        """What follows from it for the contracts. Raises ValueError for constants that do not fit."""
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
            token=self.token,
            settler=self.settler,
            treasury=self.treasury,
            guardian=self.guardian,
            beacon_anchor=self.beacon_anchor,
            proposers=self.governor.proposers,
            executors=self.governor.executors,
            constants=constants,
            salt=to_hex(keccak(self.salt.encode())),
        )

    def digest(self) -> str:
        """keccak-256 of the configuration's canonical JSON: which one was deployed, however its file was written."""
        return to_hex(hash_json(self.model_dump(mode="json")))
