"""What people sign, as strict wire schemas (SPEC section 3).

Byte strings are lower-case 0x hex, numbers are JSON integers (never floats, booleans or strings),
unknown fields are refused.
"""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

U32 = 2**32 - 1
U40 = 2**40 - 1
U48 = 2**48 - 1
U64 = 2**64 - 1

COMPARATOR_EXACT = 1
COMPARATOR_NATIVE = 2
COMPARATORS = {"exact": COMPARATOR_EXACT, "native": COMPARATOR_NATIVE}
"""By the names that manifests give them."""
VISIBILITY_OPEN = 0
VISIBILITY_RESTRICTED = 1

Bytes32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$", examples=["0x" + "ab" * 32])]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$", examples=["0x" + "11" * 20])]
Signature = Annotated[str, Field(pattern=r"^0x[0-9a-f]{130}$", examples=["0x" + "22" * 64 + "1b"])]
Units64 = Annotated[int, Field(strict=True, ge=0, le=U64)]
Uint40 = Annotated[int, Field(strict=True, ge=0, le=U40)]
Uint32 = Annotated[int, Field(strict=True, ge=0, le=U32)]


class Record(BaseModel):
    """A frozen record whose unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Params(Record):
    """How an order wants its work done. What a workload has no parameter for is 0 (SPEC section 3).

    `max_new_tokens`: the longest answer to a text, the stop token included. `temperature_milli`: thousandths, 0 is
    greedy. `top_p_ppm`: millionths. `seed`: drawn tokens are a function of it and of the prompt.
    """

    max_new_tokens: Uint32 = 0
    temperature_milli: Uint32 = 0
    top_p_ppm: Uint32 = 0
    seed: Units64 = 0

    def of(self, names: Iterable[str]) -> dict[str, int]:
        """The values of these parameters, by name."""
        return {name: getattr(self, name) for name in names}

    def beside(self, names: Iterable[str]) -> dict[str, int]:
        """Those of no such name that are not 0: a workload that has only these has no use for them."""
        known = frozenset(names)
        return {name: value for name, value in self.model_dump().items() if value and name not in known}


class Terms(Record):
    """What is ordered and at which exact prices. Prices in units of the token (SPEC section 2).

    `prompt_root`: over the token ids of each text, with the workload's around them (`contracts.protocol.packed`).
    `texts_hash`: keccak256 of the texts' canonical bytes, which those ids spell.
    """

    workload_id: Bytes32
    prompt_root: Bytes32
    texts_hash: Bytes32
    params: Params = Params()
    comparator: Annotated[int, Field(strict=True, ge=1, le=2)] = COMPARATOR_EXACT
    copies: Annotated[int, Field(strict=True, ge=1, le=255)] = 1
    visibility: Annotated[int, Field(strict=True, ge=0, le=1)] = VISIBILITY_OPEN
    fixed_price: Units64
    unit_price: Units64
    max_price: Units64
    deadline: Uint40
    salt: Units64


class Order(Record):
    """A job ordered, and a voucher: `spend_cap` is the most that its lane may ever have been charged, in units."""

    requester: Address
    spend_cap: Units64
    terms: Terms


class Commitment(Record):
    """A node's statement of what it computed for an order.

    `output_root`: over the packed ids, or vectors, that answer each text (`contracts.protocol.packed`).
    """

    order_id: Bytes32
    node: Address
    output_root: Bytes32
    trace_commit: Bytes32
    units: Uint32


class Verdict(Record):
    """What a verifier computed itself, hidden in `answer_commit` until it is opened."""

    commitment_digest: Bytes32
    verifier: Address
    answer_commit: Bytes32


class Opening(Record):
    """The answer behind an `answer_commit`."""

    trace_hash: Bytes32
    output_root: Bytes32
    units: Uint32


class LaneGrant(Record):
    """A requester's leave to open its lane for `signer`; anyone may bring it to the chain, which takes `nonce` once.

    `amount` in units, out of the requester's token allowance; `expiry` in Unix seconds, of the lane.
    """

    requester: Address
    signer: Address
    amount: Units64
    expiry: Uint32
    nonce: Annotated[int, Field(strict=True, ge=0, lt=2**256)]


class Lease(Record):
    """A job lent to one node until a time. Signed by the settler, off chain only."""

    order_id: Bytes32
    node: Address
    expires: Uint40


class NodeRequest(Record):
    """Authenticates one call of a node to a backend, off chain only. `order_id` is zero where none is meant."""

    node: Address
    action: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$", examples=["lease"])]
    order_id: Bytes32
    timestamp: Uint40
