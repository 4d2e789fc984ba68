"""A deployment in one file that every party reads; and a simple way to deploy a network for development."""

import os
from pathlib import Path
from typing import Self

from pydantic import ValidationError, ValidationInfo, model_validator

from contracts.onchain.artifacts import artifact
from contracts.onchain.errors import BadDeployment
from contracts.onchain.founding import create_contracts
from contracts.onchain.origin import GOVERNOR, ORIGIN, DeploymentPlan, NetworkConfig
from contracts.onchain.sender import Sender
from contracts.protocol.constants import Constants
from contracts.protocol.errors import first_fault
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Address, Bytes32, Record
from contracts.protocol.typed_data import VERSION, Domain


class DeploymentInputs(Record):
    """What else it takes to recompute the addresses and to compare the code on chain with a build.

    `code_hashes`: keccak-256 of the code on chain, by contract. `config_hash`: of the configuration that was deployed.
    """

    origin: Address
    salt: Bytes32
    proposers: tuple[Address, ...]
    executors: tuple[Address, ...]
    code_hashes: dict[str, Bytes32]
    config_hash: Bytes32 | None = None


class Deployment(Record):
    """Addresses and constants of the contracts. Anybody can check all of it on the chain."""

    agreement: str = VERSION
    """The version of the typed data that the contracts accept (SPEC section 3)."""
    chain_id: int
    first_block: int
    escrow: Address
    stake_manager: Address
    court: Address
    contests: Address
    token: Address
    governor: Address
    guardian: Address
    settler: Address
    """The first settler; `Chain.settler` is the one now."""
    treasury: Address
    beacon_anchor: Bytes32
    constants: Constants
    founding: DeploymentInputs | None = None
    """None if the deployment was read from the chain, given the escrow alone."""

    @model_validator(mode="after")
    def _of_this_agreement(self, info: ValidationInfo) -> Self:
        """Refuses a file of another agreement: its contracts would accept nothing that this release signs."""
        is_said = "agreement" in self.model_fields_set or info.mode != "json"
        if not is_said or self.agreement != VERSION:
            found = self.agreement if is_said else "1"
            raise ValueError(
                f"it is of agreement {found}, this release is of agreement {VERSION}; use the release that made it, or "
                "deploy a new network (`assay up --reset`, `assay deploy`)"
            )
        return self

    @staticmethod
    def of(plan: DeploymentPlan, chain_id: int, first_block: int, config_hash: str | None = None) -> "Deployment":
        """The deployment of a plan on a chain."""
        config, at = plan.config, plan.addresses
        return Deployment(
            chain_id=chain_id,
            first_block=first_block,
            escrow=at["JobEscrow"],
            stake_manager=at["StakeManager"],
            court=at["SlashingCourt"],
            contests=at["Contests"],
            token=config.token,
            governor=at[GOVERNOR],
            guardian=config.guardian,
            settler=config.settler,
            treasury=config.treasury,
            beacon_anchor=config.beacon_anchor,
            constants=config.constants,
            founding=DeploymentInputs(
                origin=at[ORIGIN],
                salt=config.salt,
                proposers=config.proposers,
                executors=config.executors,
                code_hashes={name: to_hex(keccak(plan.runtime(name, chain_id))) for name in at},
                config_hash=config_hash,
            ),
        )

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of orders, commitments, verdicts and leases."""
        return Domain(self.chain_id, self.escrow)

    @property
    def stake_domain(self) -> Domain:
        """The EIP-712 domain of node keys."""
        return Domain(self.chain_id, self.stake_manager)

    def save(self, path: Path) -> None:
        """Writes the file atomically."""
        temporary = path.with_name(f"{path.name}.tmp")
        with temporary.open("w") as file:
            file.write(self.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @staticmethod
    def load(path: Path) -> "Deployment":
        """Reads what `save` wrote. Raises BadDeployment with the file and its first wrong field."""
        try:
            return Deployment.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BadDeployment(path, error.strerror or str(error)) from error
        except ValidationError as error:
            raise BadDeployment(path, first_fault(error)) from error


def deploy(
    sender: Sender,
    constants: Constants,
    *,
    settler: str,
    treasury: str,
    beacon_anchor: str,
    guardian: str | None = None,
    token: str | None = None,
) -> Deployment:
    """Deploys a network whose governor takes the deployer's proposals, with a DevToken unless `token` is given.

    `guardian` may pause deposits and new epochs; by default it is the deployer.
    """
    deployer = sender.address.lower()
    config = NetworkConfig(
        token=(token or make_dev_token(sender)).lower(),
        settler=settler.lower(),
        treasury=treasury.lower(),
        guardian=(guardian or deployer).lower(),
        beacon_anchor=beacon_anchor,
        proposers=(deployer,),
        constants=constants,
    )
    plan = DeploymentPlan(config)
    first_block = sender.w3.eth.block_number
    create_contracts(sender, plan)
    return Deployment.of(plan, sender.w3.eth.chain_id, first_block)


def make_dev_token(sender: Sender, supply_wei: int = 10**27) -> str:
    """Deploys a development token and returns its address. `sender` gets the supply and may mint more."""
    address = sender.create("DevToken", [])
    token = sender.w3.eth.contract(address=address, abi=artifact("DevToken").abi)
    sender.call(token.functions.mint(sender.address, supply_wei))
    return address
