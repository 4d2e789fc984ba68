"""Deploys a configuration, and checks an address file against a chain."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.discovery import created_at
from contracts.onchain.errors import BadDeployment, NoContract
from contracts.onchain.founding import DeployStep, cost_wei, create_contracts, factory_stands, missing, stands, steps
from contracts.onchain.origin import ORIGIN, DeploymentPlan, NetworkConfig
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from deploy.deploying.checks import check_balance, check_chain, check_queue, check_token
from deploy.deploying.config import Config
from deploy.deploying.errors import OtherBuild, OtherDeployment
from deploy.deploying.governance import PROPOSAL_GAS, check_roles, proposals, propose, unregistered

Say = Callable[[str], None]
_QUEUE_WAIT_S = 60.0


def deploy(sender: Sender, config: Config, file: Path, say: Say, *, wait_s: float = _QUEUE_WAIT_S) -> Deployment:
    """Deploys what is missing, checks all of it and writes `file`. Changes nothing if nothing is missing.

    Raises DeployError or ChainError; nothing was sent before `say` reports a step.
    """
    w3, plan = sender.w3, DeploymentPlan(config.network())
    check_chain(w3, config.chain_id)
    wanted = Deployment.of(plan, config.chain_id, 0, config.digest())
    kept = _kept(file, wanted)
    check_token(w3, config.token, plan.config.constants.unit_wei, sender.address)
    check_queue(sender, wait_s)
    head, todo = w3.eth.block_number, missing(w3, plan, config.chain_id)
    _tell(plan, todo, say)
    if todo:
        fee_wei = sender.fee_per_gas_wei()
        check_balance(sender, cost_wei(w3, todo, fee_wei) + len(config.governor.cancellers) * PROPOSAL_GAS * fee_wei)
    create_contracts(sender, plan, lambda done: say(f"created {done}"))
    if kept is None:
        since = head if any(step.name == ORIGIN for step in todo) else 0
        first_block = created_at(w3, plan.addresses[ORIGIN], since)
    else:
        first_block = kept.first_block
    deployment = wanted.model_copy(update={"first_block": first_block})
    if deployment != kept:
        deployment.save(file)
        say(f"wrote {file}")
    chain = Chain(w3, deployment)
    _tell_roles(chain, say, sender.address.lower())
    _propose(chain, sender, config, say)
    return deployment


def _kept(file: Path, wanted: Deployment) -> Deployment | None:
    """The address file, if there is one. Raises OtherDeployment if it describes another network.

    The configuration may have grown since, e.g. by a verifier: it still describes the same network.
    """
    if not file.exists():
        return None
    kept = Deployment.load(file)
    founding = wanted.founding and wanted.founding.model_copy(
        update={"config_hash": kept.founding and kept.founding.config_hash}
    )
    differing = _differences(kept, wanted.model_copy(update={"first_block": kept.first_block, "founding": founding}))
    if differing:
        raise OtherDeployment(file, differing)
    return kept


def _differences(found_file: Deployment, wanted: Deployment) -> list[str]:
    """The differences, in the order of the file's fields."""
    pairs = _flat(found_file.model_dump(mode="json"), wanted.model_dump(mode="json"))
    return [f"{key} is {left}, not {right}" for key, left, right in pairs]


def _flat(left: Any, right: Any, key: str = "") -> list[tuple[str, object, object]]:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = list(dict.fromkeys((*right, *left)))
        return [
            pair for name in keys for pair in _flat(left.get(name), right.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if left == right else [(key, left, right)]


def _tell(plan: DeploymentPlan, todo: list[DeployStep], say: Say) -> None:
    lacking = {step.name for step in todo}
    there = [name for name in plan.addresses if name not in lacking]
    if not todo:
        say("every contract is deployed already, from this build")
    elif there:
        say(f"an earlier run deployed {', '.join(there)}; continuing with {todo[0].name}")


def _tell_roles(chain: Chain, say: Say, *others: str) -> None:
    changed = check_roles(chain, others)
    founding, delay_s = chain.deployment.founding, chain.governor.functions.getMinDelay().call()
    assert founding is not None
    say(f"the governor {chain.deployment.governor} has no admin but itself and waits {delay_s} s, read from the chain")
    say(f"proposers {', '.join(founding.proposers)}; executors {', '.join(founding.executors) or 'anyone'}")
    for line in changed:
        say(f"changed since by the governor: {line}")


def _propose(chain: Chain, sender: Sender, config: Config, say: Say) -> None:
    for owner in unregistered(chain, config):
        say(f"verifier {owner} has no account yet; when it has one, run the same again")
    wanted = list(proposals(chain, config))
    if wanted:
        check_balance(sender, len(wanted) * PROPOSAL_GAS * sender.fee_per_gas_wei())
    for proposal in wanted:
        say(propose(chain, sender, proposal))


def verify(w3: Rpc, file: Path, say: Say) -> Deployment:
    """Checks that a network is the one in an address file, of this build. Needs no key and sends nothing.

    Raises BadDeployment, WrongChain, OtherBuild, NoContract, ForeignCode, AdminLeft.
    """
    deployment = Deployment.load(file)
    if deployment.founding is None:
        raise BadDeployment(file, "founding is missing, so it was not written by `assay deploy`")
    plan = DeploymentPlan(config_of(deployment))
    first_block, config_hash = deployment.first_block, deployment.founding.config_hash
    differing = _differences(deployment, Deployment.of(plan, deployment.chain_id, first_block, config_hash))
    if differing:
        raise OtherBuild(file, differing)
    say("the file's addresses follow from its numbers and this build's code")
    check_chain(w3, deployment.chain_id)
    if not factory_stands(w3):
        raise NoContract(name="the deterministic deployment proxy", address="its well-known address")
    for step in steps(plan, deployment.chain_id):
        if not stands(w3, step):
            raise NoContract(name=step.name, address=step.address)
        say(f"{step.name:<18} {step.address}: {len(step.runtime)} bytes, each as built")
    chain = Chain(w3, deployment)
    _tell_roles(chain, say)
    settler = chain.settler()
    say(f"settler {settler}" + ("" if settler == deployment.settler else f", at first {deployment.settler}"))
    say(f"constants {', '.join(f'{name} {value}' for name, value in deployment.constants.model_dump().items())}")
    return deployment


def config_of(deployment: Deployment) -> NetworkConfig:
    """The configuration of a deployment. Its `founding` must be known."""
    d, founding = deployment, deployment.founding
    assert founding is not None
    return NetworkConfig(
        token=d.token, settler=d.settler, treasury=d.treasury, guardian=d.guardian, beacon_anchor=d.beacon_anchor,
        proposers=founding.proposers, executors=founding.executors, constants=d.constants, salt=founding.salt,
    )  # fmt: skip
