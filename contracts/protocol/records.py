"""What people sign, as strict schemas (SPEC section 3).

Byte strings are lower-case 0x hex, numbers JSON integers (no floats, booleans or strings). Unknown fields are refused.
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
"""By their names in manifests."""
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
    """The parameters of an order; 0 for those that its workload does not have (SPEC section 3).

    `max_new_tokens`: the longest answer to a text, the stop token included. `temperature_milli`: thousandths, 0 is
    greedy. `top_p_ppm`: millionths. `seed`: determines the drawn tokens, together with the prompt.
    """

    max_new_tokens: Uint32 = 0
    temperature_milli: Uint32 = 0
    top_p_ppm: Uint32 = 0
    seed: Units64 = 0

    def of(self, names: Iterable[str]) -> dict[str, int]:
        """These parameters, by name."""
        return {name: getattr(self, name) for name in names}

    def beside(self, names: Iterable[str]) -> dict[str, int]:
        """The other parameters that are not 0: a workload with only these `names` does not take them."""
        known = frozenset(names)
        return {name: value for name, value in self.model_dump().items() if value and name not in known}


class Terms(Record):
    """What is ordered, and the exact prices in units of the token (SPEC section 2).

    `prompt_root`: over each text's token ids, the template's included (`contracts.protocol.packed`).
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
    """An order, and a voucher: `spend_cap` is the most that its lane may have been charged in all, in units."""

    requester: Address
    spend_cap: Units64
    terms: Terms


class Commitment(Record):
    """A node's statement of what it computed for an order.

    `output_root`: over the packed ids, or vectors, for each text (`contracts.protocol.packed`).
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
    """A requester's permission to open its lane for `signer`. Anyone may submit it; each `nonce` counts once.

    `amount` in units, from the requester's token allowance; `expiry` of the lane in Unix seconds.
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
    """Authenticates one call of a node to a backend, off chain only. `order_id` is zero if the call has none."""

    node: Address
    action: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$", examples=["lease"])]
    order_id: Bytes32
    timestamp: Uint40
