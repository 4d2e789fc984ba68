"""A workload's manifest: what runs, how it is checked, metered and deterred. Its hash names the workload.

It describes a kind of work in data for everybody but the engine, so that a new kind needs no code elsewhere.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import BadTexts
from contracts.protocol.hashing import to_hex
from contracts.protocol.packed import WORD_BYTES
from contracts.protocol.records import Bytes32, Params, Record, Uint32, Units64
from contracts.protocol.sampling import Deterrence
from contracts.protocol.texts import decode_texts
from contracts.protocol.workload import workload_id

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["ab" * 32])]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", examples=["generation"])]
MODEL_NAME = r"^[a-z0-9][a-z0-9.\-]{0,63}$"
_Name = Annotated[str, Field(pattern=MODEL_NAME)]
_Positive = Annotated[int, Field(strict=True, gt=0)]

EXACT_ENGINE = "exact"
"""The engine whose arithmetic the court repeats, from numbers opened under the model root (COURT.md)."""

MAX_NEW_TOKENS = "max_new_tokens"
"""The parameter that bounds the units of a job metered in new tokens."""

TokenizerFamily = Literal["byte_bpe", "wordpiece"]
"""byte_bpe: each id stands for a string of bytes, and joining them gives the text back (GPT-2, Llama 3, Qwen, SmolLM).
wordpiece: of BERT, which lowers and splits texts first; ids spell them only by the tokenizer."""

MAX_OUTPUT_BYTES = 65_536
"""The longest output: a contest is answered with the whole of it in one transaction."""

_SHORTEN = "shorten that text, or send it as several"
_MOST_ESCAPED = 6  # bytes of JSON for one byte of text: \\u0001


class IntegerRange(Record):
    """The integers that a parameter allows, and the one that clients use by default."""

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
    """Limits of an input. Others are refused before acceptance, so that no node does hopeless work for nothing.

    At most `max_texts` texts, each of at most `max_bytes` of UTF-8 and of `max_tokens`: the text as the workload's
    tokenizer cuts it, with the template's tokens around it.
    """

    max_texts: _Positive
    max_bytes: _Positive
    max_tokens: _Positive

    def read(self, data: bytes) -> list[str]:
        """The texts of an input, checked against the limits that need no tokenizer. Raises BadTexts."""
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
        """Raises BadTexts for too many texts, or too many tokens in one. `counts` include the template."""
        if not 0 < len(counts) <= self.max_texts:
            why = f"holds {len(counts)} texts, not 1 to {self.max_texts}"
            raise BadTexts(why, way_out="send them in several inputs")
        for index, count in enumerate(counts):
            if not 0 < count <= self.max_tokens:
                raise BadTexts(
                    f"has {count} tokens in text {index}, those around it included, not 1 to {self.max_tokens}",
                    way_out=_SHORTEN,
                )

    @property
    def most_prompt_bytes(self) -> int:
        """The size of the longest packed prompts within the limits."""
        return WORD_BYTES * (1 + self.max_texts * (1 + self.max_tokens))

    @property
    def most_bytes(self) -> int:
        """The size of the longest input within the limits, in bytes of canonical JSON."""
        return 1 + self.max_texts * (_MOST_ESCAPED * self.max_bytes + 3)


Ids = Annotated[tuple[Uint32, ...], Field(strict=False)]
"""Token ids, a list in JSON."""


class Template(Record):
    """Token ids that stand around each text's own: a chat template, or start and end."""

    before: Ids = ()
    after: Ids = ()


class Manifest(Record):
    """Content-addressed description of a workload.

    `kind` names the code that runs it, `unit` what is metered. `meter` bounds the units of a job before it runs, see
    `most_units`. `numeric_class` pins the class of hosts inside which a float engine's answers are equal bit for bit;
    an engine whose answers are the same everywhere has none.
    `tokenizer` names how texts become ids; `stops` are the ids that end an answer, the one that does is part of it.
    `model_root` stands over the model's numbers and tables (COURT.md); nodes and verifiers derive it from the file
    before they serve. Workloads of the exact engine name one, others have none.
    `check_price_units` is what one check of one job earns its verifier.
    """

    kind: Kind
    model: _Name
    weights_sha256: Sha256
    model_root: Bytes32 | None = None
    tokenizer_sha256: Sha256
    tokenizer: TokenizerFamily = "byte_bpe"
    template: Template = Template()
    stops: Ids = ()
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
        if unknown := sorted(set(self.params) - set(Params.model_fields)):
            raise ValueError(f"orders cannot say {', '.join(unknown)}; they say {', '.join(Params.model_fields)}")
        if (self.engine == EXACT_ENGINE) != (self.model_root is not None):
            raise ValueError(
                f"the engine {self.engine} with the model_root {self.model_root}: workloads of the engine "
                f"{EXACT_ENGINE} name their model's root, as `assay models manifest` writes it, and others have none"
            )
        workload_id(self)
        return self

    def prompt(self, ids: Sequence[int]) -> list[int]:
        """The tokens that an engine reads for a text with these ids: the template around them."""
        return [*self.template.before, *ids, *self.template.after]

    @property
    def most_new_tokens(self) -> int | None:
        """The longest answer to one text, in tokens; None if the workload does not generate tokens."""
        allowed = self.params.get(MAX_NEW_TOKENS)
        return None if allowed is None else allowed.maximum

    def canonical(self) -> bytes:
        """The canonical bytes, whose hash is part of the workload's struct."""
        return canonical_json(self.model_dump(mode="json"))

    def workload_id(self) -> str:
        """The workload's id (`contracts.protocol.workload`), 0x hex."""
        return to_hex(workload_id(self))

    def most_units(self, counts: Sequence[int], max_new_tokens: int) -> int:
        """The most units that a job can use. `counts`: tokens of each text, the template's included.

        new_tokens: texts * max_new_tokens. input_tokens: exactly the sum of the counts.
        """
        return len(counts) * max_new_tokens if self.meter == "new_tokens" else sum(counts)

    def units(self, counts: Sequence[int], answers: Sequence[int]) -> int:
        """The units of a job: `counts` as in `most_units`, `answers` the words that answer each text."""
        return sum(answers if self.meter == "new_tokens" else counts)
