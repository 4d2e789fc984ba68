"""Deploys a plan step by step, and checks what is there already instead of deploying it again.

The chain is asked before and after each step, and no other state is kept: anybody's next run finishes one that was
killed, and a run with nothing left to do sends nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from contracts.onchain.artifacts import artifact
from contracts.onchain.errors import ForeignCode, NoFactory, RequestRefused, Reverted
from contracts.onchain.origin import FACTORY, FACTORY_RUNTIME, GOVERNOR, ORIGIN, DeploymentPlan
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import from_hex, keccak, to_hex

FACTORY_NAME = "the deterministic deployment proxy"
_FACTORY_COST_WEI = 10**16
_FACTORY_TRANSACTION = from_hex(
    "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe" + "7f" + "ff" * 31 + "e0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
    + "1b"
    + "a0"
    + "22" * 32
    + "a0"
    + "22" * 32
)
"""Nobody signed it: the signature is made up, and the account that it recovers to is paid to send the transaction once,
with 100,000 gas at 100 gwei, on any chain (no chain id)."""

_CREATE_SELECTOR = keccak(b"create(bytes32[],uint256,(bytes,bytes32[],uint8[]))")[:4]
_TRANSACTION_GAS, _FLOOR_GAS_PER_TOKEN, _CODE_GAS_PER_BYTE = 21_000, 10, 200
"""What a transaction, its calldata's tokens (EIP-2028, EIP-7623) and code on chain (EIP-170) cost."""
_COPY_GAS_PER_BYTE = 8
"""To hash, copy and grow memory, per byte of calldata. Measured, and held by a test."""
_STEP_GAS = 150_000
"""For creation, constructor and storage. Measured, and held by a test."""
_ROLE_GAS = 40_000
"""To write and log one role of the governor."""


@dataclass(frozen=True)
class DeployStep:
    """One transaction: a call that puts `runtime` at `address`, with the most gas it takes."""

    name: str
    address: str
    runtime: bytes
    to: str
    data: bytes
    gas: int


def steps(plan: DeploymentPlan, chain_id: int) -> list[DeployStep]:
    """Origin and the parts, in the order of creation."""
    origin = plan.addresses[ORIGIN]
    found = [_step(plan, chain_id, ORIGIN, FACTORY, plan.origin_call)]
    for number, part in enumerate(plan.parts, 1):
        arguments = encode(["bytes32[]", "uint256", "(bytes,bytes32[],uint8[])"], [plan.hashes, number, part.fields])
        found.append(_step(plan, chain_id, part.name, origin, _CREATE_SELECTOR + arguments))
    return found


def _step(plan: DeploymentPlan, chain_id: int, name: str, to: str, data: bytes) -> DeployStep:
    runtime = plan.runtime(name, chain_id)
    zeros = data.count(0)
    tokens = zeros + 4 * (len(data) - zeros)
    roles = 2 * len(plan.config.proposers) + len(plan.config.executors) if name == GOVERNOR else 0
    work = (
        4 * tokens + _CODE_GAS_PER_BYTE * len(runtime) + _COPY_GAS_PER_BYTE * len(data) + roles * _ROLE_GAS + _STEP_GAS
    )
    gas = _TRANSACTION_GAS + max(work, _FLOOR_GAS_PER_TOKEN * tokens)
    return DeployStep(name, plan.addresses[name], runtime, to, data, gas)


def missing(w3: Rpc, plan: DeploymentPlan, chain_id: int) -> list[DeployStep]:
    """The steps still to take. Raises ForeignCode where other code is at a planned address."""
    return [step for step in steps(plan, chain_id) if not stands(w3, step)]


def create_contracts(sender: Sender, plan: DeploymentPlan, say: Callable[[str], None] = lambda _: None) -> None:
    """Takes the missing steps. Raises NoFactory, Reverted, ForeignCode."""
    w3 = sender.w3
    chain_id = w3.eth.chain_id
    todo = missing(w3, plan, chain_id)
    if todo:
        ensure_factory(sender)
    for step in todo:
        gas = _take(sender, step)
        say(f"{step.name} {step.address}, " + ("by another account" if gas is None else f"{gas:,} gas"))


def _take(sender: Sender, step: DeployStep) -> int | None:
    """Sends a step if it would succeed and returns its gas; None if somebody else took it first."""
    gas = None
    try:
        sender.w3.eth.call({"from": sender.address, "to": to_checksum_address(step.to), "data": step.data})
        gas = sender.transact(step.to, step.data, gas=step.gas, describe=f"create {step.name}")["gasUsed"]
    except Reverted:
        if not stands(sender.w3, step):
            raise
    if not stands(sender.w3, step):
        raise ForeignCode(name=step.name, address=step.address, differs="no code, though its creation was mined")
    return gas


def stands(w3: Rpc, step: DeployStep) -> bool:
    """Whether a step was taken. Raises ForeignCode, which names the difference, if other code is there."""
    code = w3.eth.get_code(step.address)
    if code and code != step.runtime:
        raise ForeignCode(name=step.name, address=step.address, differs=difference(step.name, step.runtime, code))
    return bool(code)


def difference(name: str, expected: bytes, found_code: bytes) -> str:
    """How two codes of one contract differ: immutables by name and value, else the first byte."""
    if len(expected) != len(found_code):
        return f"it has {len(found_code)} bytes, not {len(expected)}"
    expected_rest, found_rest = bytearray(expected), bytearray(found_code)
    values = []
    for immutable, places in artifact(name).immutables.items():
        for place in places:
            here = slice(place, place + 32)
            if expected[here] != found_code[here]:
                values.append(f"{immutable} is {_shown(found_code[here])}, not {_shown(expected[here])}")
            expected_rest[here] = found_rest[here] = bytes(32)
    if expected_rest != found_rest:
        place = next(i for i, pair in enumerate(zip(expected_rest, found_rest, strict=True)) if pair[0] != pair[1])
        return f"it differs from byte {place} on"
    return ", ".join(dict.fromkeys(values))


def _shown(value: bytes) -> str:
    """Constants as numbers, addresses and hashes as hex."""
    number = int.from_bytes(value, "big")
    return str(number) if number < 2**64 else to_hex(value[12:] if number < 2**160 else value)


# ---------------------------------------------------------------- the factory


def factory_stands(w3: Rpc) -> bool:
    """Whether the chain has the factory. Raises ForeignCode if other code is at its address."""
    code = w3.eth.get_code(FACTORY)
    if code and code != FACTORY_RUNTIME:
        raise ForeignCode(name=FACTORY_NAME, address=FACTORY, differs="other bytes")
    return bool(code)


def ensure_factory(sender: Sender) -> None:
    """Deploys the factory where it is missing. Raises NoFactory if the chain refuses its transaction."""
    if factory_stands(sender.w3):
        return
    from eth_account import Account  # imported here: it takes most of a second

    maker = Account.recover_transaction(_FACTORY_TRANSACTION)
    lacking = _FACTORY_COST_WEI - sender.w3.eth.get_balance(maker)
    if lacking > 0:
        sender.pay([maker], lacking)
    try:
        sender.broadcast_foreign(_FACTORY_TRANSACTION, describe=f"create {FACTORY_NAME}")
    except (Reverted, RequestRefused) as error:
        raise NoFactory(FACTORY, f"refuses the transaction that creates it: {error}") from error
    if not factory_stands(sender.w3):
        raise NoFactory(FACTORY, "mined the transaction that creates it, but the code is not there")


def cost_wei(w3: Rpc, todo: list[DeployStep], fee_per_gas_wei: int) -> int:
    """The most that steps, and the factory where it is missing, may cost. Without an L2's fee for L1 data."""
    factory = 0 if not todo or factory_stands(w3) else _FACTORY_COST_WEI + _TRANSACTION_GAS * fee_per_gas_wei
    return factory + sum(step.gas for step in todo) * fee_per_gas_wei
