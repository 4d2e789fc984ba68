"""Describes a deployment in one file that every party reads, and makes one for a network to play with."""

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
    """What else anybody needs to compute the addresses anew, and to see that the code there is that of a build.

    `code_hashes`: keccak-256 of the code on chain by contract; `config_hash`: of the configuration that was deployed.
    """

    origin: Address
    salt: Bytes32
    proposers: tuple[Address, ...]
    executors: tuple[Address, ...]
    code_hashes: dict[str, Bytes32]
    config_hash: Bytes32 | None = None


class Deployment(Record):
    """Where the contracts are and with which numbers. Nothing in it needs trust: all can be read from the chain."""

    agreement: str = VERSION
    """Of whose typed data signatures count there (SPEC section 3)."""
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
    """At first; `Chain.settler` tells who it is now."""
    treasury: Address
    beacon_anchor: Bytes32
    constants: Constants
    founding: DeploymentInputs | None = None
    """None where it is not known: the deployment was read from the chain, given the escrow alone."""

    @model_validator(mode="after")
    def _of_this_agreement(self, info: ValidationInfo) -> Self:
        """A file of another agreement is refused by name: nothing that this release signs would count there."""
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
        """What a plan is once it stands on a chain."""
        charter, at = plan.charter, plan.addresses
        return Deployment(
            chain_id=chain_id,
            first_block=first_block,
            escrow=at["JobEscrow"],
            stake_manager=at["StakeManager"],
            court=at["SlashingCourt"],
            contests=at["Contests"],
            token=charter.token,
            governor=at[GOVERNOR],
            guardian=charter.guardian,
            settler=charter.settler,
            treasury=charter.treasury,
            beacon_anchor=charter.beacon_anchor,
            constants=charter.constants,
            founding=DeploymentInputs(
                origin=at[ORIGIN],
                salt=charter.salt,
                proposers=charter.proposers,
                executors=charter.executors,
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
        """Writes the file whole or not at all."""
        temporary = path.with_name(f"{path.name}.tmp")
        with temporary.open("w") as file:
            file.write(self.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @staticmethod
    def load(path: Path) -> "Deployment":
        """Reads what `save` wrote. Raises BadDeployment, naming the file and the first field that is wrong."""
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
    """Founds a network whose governor takes the deployer's proposals, with a DevToken unless `token` is given.

    `guardian` may pause what comes in; by default it is the deployer.
    """
    deployer = sender.address.lower()
    charter = NetworkConfig(
        token=(token or make_dev_token(sender)).lower(),
        settler=settler.lower(),
        treasury=treasury.lower(),
        guardian=(guardian or deployer).lower(),
        beacon_anchor=beacon_anchor,
        proposers=(deployer,),
        constants=constants,
    )
    plan = DeploymentPlan(charter)
    first_block = sender.w3.eth.block_number
    create_contracts(sender, plan)
    return Deployment.of(plan, sender.w3.eth.chain_id, first_block)


def make_dev_token(sender: Sender, supply_wei: int = 10**27) -> str:
    """A token to play with; `sender` gets the supply and may mint more. Returns its address."""
    address = sender.create("DevToken", [])
    token = sender.w3.eth.contract(address=address, abi=artifact("DevToken").abi)
    sender.call(token.functions.mint(sender.address, supply_wei))
    return address
