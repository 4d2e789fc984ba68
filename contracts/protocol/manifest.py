"""A workload's manifest: what runs, how it is checked, metered and deterred. Its hash is the workload's name.

It says by data what everybody but the engine needs to know of a kind of work, so that a new kind changes nobody else.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import BadTexts
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Record, Units64
from contracts.protocol.sampling import Deterrence
from contracts.protocol.texts import decode_texts

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["ab" * 32])]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", examples=["generation"])]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]{0,63}$")]
_Positive = Annotated[int, Field(strict=True, gt=0)]

MAX_NEW_TOKENS = "max_new_tokens"
"""The parameter that bounds the units of a job metered in new tokens."""

MAX_OUTPUT_BYTES = 65_536
"""The longest output: a contest is answered with the whole of it in one transaction."""

_SHORTEN = "shorten that text, or send it as several"
_MOST_ESCAPED = 6  # bytes of JSON for one byte of text: \\u0001


class IntegerRange(Record):
    """The whole numbers that a parameter takes, and the one that clients give where their user names none."""

    minimum: Annotated[int, Field(strict=True)]
    maximum: Annotated[int, Field(strict=True)]
    default: Annotated[int, Field(strict=True)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} exceeds maximum {self.maximum}")
        if self.default is not None and not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is outside {self.minimum} to {self.maximum}")
        return self


class InputLimits(Record):
    """What an input may be: refused before acceptance otherwise, so that no node works on poison for nothing.

    At most `max_texts` texts, each of at most `max_bytes` of UTF-8 and of `max_tokens`: the text alone as the
    workload's tokenizer cuts it, and `overhead_tokens` that the kind puts around it (template, start and end).
    """

    max_texts: _Positive
    max_bytes: _Positive
    max_tokens: _Positive
    overhead_tokens: Annotated[int, Field(strict=True, ge=0)] = 0

    def read(self, data: bytes) -> list[str]:
        """The texts of an input, within the limits that need no tokenizer. Raises BadTexts."""
        texts = decode_texts(data)
        if len(texts) > self.max_texts:
            raise BadTexts(
                f"holds {len(texts)} texts, more than {self.max_texts}", way_out="send them in several inputs"
            )
        for index, text in enumerate(texts):
            length = len(text.encode())
            if length > self.max_bytes:
                raise BadTexts(f"has {length} bytes in text {index}, more than {self.max_bytes}", way_out=_SHORTEN)
        return texts

    def require_tokens(self, counts: Sequence[int]) -> None:
        """Raises BadTexts where a text has too many tokens, `overhead_tokens` included in each of `counts`."""
        for index, count in enumerate(counts):
            if count > self.max_tokens:
                raise BadTexts(
                    f"has {count} tokens in text {index} ({self.overhead_tokens} of them put around it by the "
                    f"workload), more than {self.max_tokens}",
                    way_out=_SHORTEN,
                )

    @property
    def most_bytes(self) -> int:
        """The longest input that can be within the limits, as bytes of canonical JSON."""
        return 1 + self.max_texts * (_MOST_ESCAPED * self.max_bytes + 3)


class Manifest(Record):
    """Content-addressed description of a workload.

    `kind` names the code that runs it, `unit` what is metered. `meter` bounds the units of a job before it runs, see
    `most_units`. `numeric_class` pins the class of hosts inside which a float engine's answers are equal bit for bit;
    an engine whose answers are the same everywhere has none.
    `check_price_units` is what one check of one job earns its verifier.
    """

    kind: Kind
    model: _Name
    weights_sha256: Sha256
    tokenizer_sha256: Sha256
    engine: _Name = "torch-float"
    engine_version: str
    dtype: Literal["float32", "bfloat16", "float16", "int8"] = "float32"
    numeric_class: Sha256 | None = None
    comparator: Literal["exact", "native"] = "exact"
    check: Literal["regenerate", "prefill"] = "regenerate"
    params: dict[str, IntegerRange]
    input: InputLimits
    unit: Annotated[str, Field(pattern=r"^[a-z][a-z ]{0,31}$", examples=["completion token"])]
    meter: Literal["new_tokens", "input_tokens"]
    check_price_units: Units64
    deterrence: Deterrence

    @model_validator(mode="after")
    def _meterable(self) -> Self:
        if self.meter == "new_tokens" and (
            MAX_NEW_TOKENS not in self.params or self.params[MAX_NEW_TOKENS].minimum < 1
        ):
            raise ValueError(f"the meter new_tokens needs the parameter {MAX_NEW_TOKENS}, from 1 up")
        return self

    @property
    def most_new_tokens(self) -> int | None:
        """The longest answer to one text, in tokens; None where answers have a length of their own."""
        allowed = self.params.get(MAX_NEW_TOKENS)
        return None if allowed is None else allowed.maximum

    def canonical(self) -> bytes:
        """The canonical bytes whose hash is the workload id."""
        return canonical_json(self.model_dump(mode="json"))

    def workload_id(self) -> str:
        """keccak256 of the canonical manifest, 0x hex."""
        return to_hex(keccak(self.canonical()))

    def most_units(self, texts: Sequence[str], params: Mapping[str, int]) -> int:
        """The most units that a job of these texts and parameters can use, known without a tokenizer.

        new_tokens: texts * max_new_tokens. input_tokens: the sum over texts of min(max_tokens, bytes of UTF-8 +
        overhead_tokens), since no token stands for less than a byte.
        """
        if self.meter == "new_tokens":
            return len(texts) * params[MAX_NEW_TOKENS]
        limits = self.input
        return sum(min(limits.max_tokens, len(text.encode()) + limits.overhead_tokens) for text in texts)
