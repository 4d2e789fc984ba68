"""The `torch-float` engine: greedy chat completion by a Llama in fp32, one sequence at a time.

Prompt: ChatML with SmolLM2-Instruct's default system message, as in the model's own chat template. The requester's text
is never read for control tokens: a prompt that spells `<|im_end|>` gets those ten characters, and cannot end its turn.

Output: canonical JSON {"finish_reason": "stop" | "length", "text": ..., "token_ids": [...]}. `token_ids` holds every
token chosen, the end token included; units are their number, so the end token counts as one: choosing it took a pass.

Trace: sha256 over TRACE_TAG and the little-endian fp32 logits of every position computed, in order: the prompt's
positions, then one per decode step. The last token chosen is never fed back, so that is prompt + units - 1 positions.

Checked by regeneration: in floats, prefill and decode differ in the last bits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from contracts.protocol.canonical import canonical_json
from node_agent.devices import numeric_class, self_test
from node_agent.devices.probe import resolve
from node_agent.execution import determinism
from node_agent.execution.decoding import Trace, prefill, step
from node_agent.execution.engine import Check, Execution
from node_agent.execution.errors import (
    EngineMismatch,
    InvalidInput,
    InvalidParams,
    ModelDigestMismatch,
    NumericClassMismatch,
    UnsupportedModel,
)
from node_agent.execution.llama import Llama, LlamaConfig
from node_agent.execution.manifest import MAX_NEW_TOKENS, IntegerRange, Manifest, new_tokens_range
from node_agent.execution.model_files import ModelFiles, require_safe_format

SYSTEM_MESSAGE = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

_START, _END, _END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"


class FloatEngine:
    """See `engine.Engine`. One instance serves one workload on one device; calls must not overlap in a process.

    Attributes:
        model: the loaded Llama; `model.layers` is its list of blocks.
    """

    name: str = "torch-float"
    version: str = "1"
    check: Check = "regenerate"

    def __init__(self, model: Llama, tokenizer: Tokenizer, manifest: Manifest) -> None:
        """Assemble from parts; `load` is the way in that verifies them."""
        self.model = model
        self.manifest = manifest
        self._chat = _Chat(tokenizer)
        self._stops = frozenset(self._chat.stops | {model.config.eos_token_id})
        self._allowed = new_tokens_range(manifest)
        _require_room(model.config, manifest, self._allowed)

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None) -> Self:
        """Load a model whose digests the store has verified.

        Args:
            files: from the model store.
            manifest: the workload to serve.
            device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.

        Raises:
            EngineMismatch, ModelDigestMismatch, NumericClassMismatch: this host is not what the manifest describes.
            SelfTestFailed: this host computes wrongly; nothing that it computes may be signed.
            UnsafeModelFormat, UnsupportedModel: the files are not what this engine computes.
        """
        where = resolve(device)
        cls._require_match(files, manifest, str(where))
        self_test.passed(str(where))
        model = load_llama(files.weights, files.config, where)
        tokenizer = Tokenizer.from_file(str(files.tokenizer))
        return cls(model, tokenizer, manifest)

    @classmethod
    def _require_match(cls, files: ModelFiles, manifest: Manifest, device: str) -> None:
        wanted, have = (manifest.engine, manifest.engine_version, manifest.check), (cls.name, cls.version, cls.check)
        if wanted != have:
            raise EngineMismatch(
                f"The workload wants engine, version and check {wanted}, this is {have}.",
                way_out="Install the release of Assay that carries that engine version.",
                expected=wanted,
                found=have,
            )
        for what in ("weights_sha256", "tokenizer_sha256"):
            expected, found = getattr(manifest, what), getattr(files, what)
            if expected != found:
                raise ModelDigestMismatch(
                    f"The workload names {what} {expected}, the files have {found}.",
                    way_out="Pull the model that the workload names.",
                    expected=expected,
                    found=found,
                )
        here = numeric_class.current(device)
        if here.digest != manifest.numeric_class:
            raise NumericClassMismatch(
                f"The workload is of numeric class {manifest.numeric_class}, this host on {device} is {here.digest}.",
                way_out="Serve a workload of this host's class, or run on the hardware and versions of that class.",
                expected=manifest.numeric_class,
                found=here.digest,
                facts=here.facts,
            )

    @torch.inference_mode()
    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Answer one prompt. Errors as in `engine.Engine`, and NumericFailure if the model breaks down."""
        limit = self._max_new_tokens(params)
        prompt = self._prompt(input_bytes)
        determinism.enforce()
        trace = Trace()
        chosen = self._generate(prompt, limit, trace)
        stopped = chosen[-1] in self._stops
        finish: Literal["stop", "length"] = "stop" if stopped else "length"
        text = self._chat.decode(chosen[:-1] if stopped else chosen)
        output = canonical_json({"finish_reason": finish, "text": text, "token_ids": chosen})
        return Execution(output=output, trace_hash=trace.digest(), units=len(chosen))

    def _generate(self, prompt: list[int], limit: int, trace: "Trace") -> list[int]:
        cache = self.model.new_cache(len(prompt) + limit - 1)
        chosen = [prefill(self.model, prompt, cache, trace)]
        while chosen[-1] not in self._stops and len(chosen) < limit:
            chosen.append(step(self.model, chosen[-1], cache, trace))
        return chosen

    def _max_new_tokens(self, params: Mapping[str, int]) -> int:
        allowed = self._allowed
        value = params.get(MAX_NEW_TOKENS)
        way_out = f"Give exactly {MAX_NEW_TOKENS}, an integer from {allowed.minimum} to {allowed.maximum}."
        unknown = sorted(set(params) - {MAX_NEW_TOKENS})
        if unknown:
            raise InvalidParams(f"Unknown parameters: {', '.join(unknown)}.", way_out=way_out, unknown=unknown)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidParams(f"{MAX_NEW_TOKENS} is {value!r}, not an int.", way_out=way_out, max_new_tokens=value)
        if not allowed.minimum <= value <= allowed.maximum:
            raise InvalidParams(f"{MAX_NEW_TOKENS} is {value}, out of range.", way_out=way_out, max_new_tokens=value)
        return value

    def _prompt(self, input_bytes: bytes) -> list[int]:
        limits = self.manifest.input
        if len(input_bytes) > limits.max_bytes:
            raise _too_long("bytes", len(input_bytes), limits.max_bytes)
        try:
            text = input_bytes.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"The input is not UTF-8: {error.reason} at byte {error.start} of {len(input_bytes)}.",
                way_out="Encode the text as UTF-8.",
                position=error.start,
                length=len(input_bytes),
            ) from error
        if not text.strip():
            raise InvalidInput("The input holds no text.", way_out="Send at least one visible character.", text=text)
        tokens = self._chat.prompt(text)
        if len(tokens) > limits.max_tokens:
            raise _too_long("tokens (chat template included)", len(tokens), limits.max_tokens)
        return tokens


def load_llama(weights: Path, config: Path, device: torch.device) -> Llama:
    """Load a model from safetensors and config.json, reading each tensor once.

    Raises:
        UnsafeModelFormat: the weights are not safetensors or GGUF.
        UnsupportedModel: they are GGUF, which the model store converts, or not a Llama this engine computes.
    """
    if require_safe_format(weights) != "safetensors":
        raise UnsupportedModel(
            f"{weights.name} is GGUF, and engines load safetensors.",
            way_out="Convert it with the model store.",
            path=str(weights),
        )
    with safe_open(weights, framework="pt") as file:
        names = frozenset(file.keys())
        return Llama.from_state(LlamaConfig.read(config), names, file.get_tensor, device)


class _Chat:
    """ChatML around one user message."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        start, end = tokenizer.token_to_id(_START), tokenizer.token_to_id(_END)
        if start is None or end is None:
            raise UnsupportedModel(
                f"The tokenizer lacks {_START} or {_END}.", way_out="Use a model with a ChatML tokenizer."
            )
        tokenizer.encode_special_tokens = True  # text that spells a control token stays text
        self._tokenizer = tokenizer
        self._start, self._end = start, end
        end_of_text = tokenizer.token_to_id(_END_OF_TEXT)
        self.stops = {self._end} if end_of_text is None else {self._end, end_of_text}

    def prompt(self, text: str) -> list[int]:
        """Ids of system message, user message and the opening of the answer."""
        turn_end = [self._end, *self._encode("\n")]
        system = [self._start, *self._encode(f"system\n{SYSTEM_MESSAGE}"), *turn_end]
        user = [self._start, *self._encode(f"user\n{text}"), *turn_end]
        return [*system, *user, self._start, *self._encode("assistant\n")]

    def decode(self, tokens: list[int]) -> str:
        """Text of completion tokens; bytes that are not UTF-8 become U+FFFD."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _require_room(config: LlamaConfig, manifest: Manifest, allowed: IntegerRange) -> None:
    needed = manifest.input.max_tokens + allowed.maximum
    if needed > config.max_position_embeddings:
        raise UnsupportedModel(
            f"The workload allows {needed} positions, the model has {config.max_position_embeddings}.",
            way_out="Lower input.max_tokens or params.max_new_tokens.maximum in the manifest.",
            needed=needed,
            available=config.max_position_embeddings,
        )


def _too_long(unit: str, found: int, limit: int) -> InvalidInput:
    return InvalidInput(
        f"The input has {found} {unit}, the workload takes {limit}.",
        way_out="Shorten it, or use a workload with a larger limit.",
        found=found,
        limit=limit,
    )
