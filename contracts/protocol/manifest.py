"""A workload's manifest: what runs, how it is checked, metered and deterred. Its hash is the workload's name."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.protocol.canonical import canonical_json
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Record, Units64
from contracts.protocol.sampling import Deterrence

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["ab" * 32])]
_Positive = Annotated[int, Field(strict=True, gt=0)]


class IntegerRange(Record):
    """The whole numbers that a parameter takes."""

    minimum: Annotated[int, Field(strict=True)]
    maximum: Annotated[int, Field(strict=True)]


class InputLimits(Record):
    """What an input may be: refused before acceptance otherwise, so that no node works on poison for nothing."""

    encoding: Literal["utf-8"] = "utf-8"
    max_bytes: _Positive
    max_tokens: _Positive


class Manifest(Record):
    """Content-addressed description of a kind of work.

    `numeric_class` pins the class of hosts inside which a float engine's answers are equal bit for bit.
    `check_price_units` is what one check of one job earns its verifier.
    """

    kind: Literal["generation"] = "generation"
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]{0,63}$")]
    weights_sha256: Sha256
    tokenizer_sha256: Sha256
    engine: Literal["torch-float"] = "torch-float"
    engine_version: str
    dtype: Literal["float32"] = "float32"
    numeric_class: Sha256
    comparator: Literal["exact"] = "exact"
    check: Literal["regenerate", "prefill"] = "regenerate"
    params: dict[str, IntegerRange]
    input: InputLimits
    unit: Literal["completion token"] = "completion token"
    check_price_units: Units64
    deterrence: Deterrence

    def canonical(self) -> bytes:
        """The canonical bytes whose hash is the workload id."""
        return canonical_json(self.model_dump(mode="json"))

    def workload_id(self) -> str:
        """keccak256 of the canonical manifest, 0x hex."""
        return to_hex(keccak(self.canonical()))
