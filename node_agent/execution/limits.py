"""Whether an engine, its files, an order's input and its parameters are what a manifest says: the same for all."""

from collections.abc import Collection, Mapping

from contracts.protocol.errors import BadTexts, NotPacked
from contracts.protocol.manifest import MAX_OUTPUT_BYTES, InputLimits, IntegerRange, Manifest
from contracts.protocol.packed import WORD_BYTES, unpack
from node_agent.execution.errors import (
    AnswerTooLong,
    EngineMismatch,
    InvalidInput,
    InvalidParams,
    ModelDigestMismatch,
    UnsupportedModel,
)
from node_agent.execution.model_files import ModelFiles


def read_prompts(limits: InputLimits, vocab_size: int, input_bytes: bytes) -> list[list[int]]:
    """The token ids of each text of an input, with the template's around them. Raises InvalidInput."""
    try:
        prompts = unpack(input_bytes)
        limits.require_tokens([len(ids) for ids in prompts])
        beyond = next((token for ids in prompts for token in ids if token >= vocab_size), None)
        if beyond is not None:
            raise BadTexts(f"holds the token {beyond}, the model knows {vocab_size}")
    except (BadTexts, NotPacked) as error:
        raise InvalidInput(
            f"The input {error.why}.",
            way_out="Pack the token ids of texts within the workload's limits, cut by its tokenizer.",
            limits=limits.model_dump(),
            length=len(input_bytes),
        ) from error
    return prompts


def require_params(allowed: Mapping[str, IntegerRange], params: Mapping[str, int]) -> None:
    """Raises InvalidParams unless each allowed parameter is given, once, as an integer within its range."""
    ranges = {name: f"{one.minimum} to {one.maximum}" for name, one in allowed.items()}
    way_out = f"Give exactly {ranges}, as integers." if ranges else "Give no parameters: {}."
    unknown, missing = sorted(set(params) - set(allowed)), sorted(set(allowed) - set(params))
    if unknown or missing:
        raise InvalidParams(
            f"Unknown parameters: {unknown}, missing: {missing}.", way_out=way_out, unknown=unknown, missing=missing
        )
    for name, value in params.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidParams(f"{name} is {value!r}, not an int.", way_out=way_out, name=name, value=value)
        if not allowed[name].minimum <= value <= allowed[name].maximum:
            raise InvalidParams(f"{name} is {value}, out of range.", way_out=way_out, name=name, value=value)


def require_named(files: ModelFiles, manifest: Manifest) -> None:
    """Raises ModelDigestMismatch unless weights and tokenizer are those that the manifest names."""
    for what in ("weights_sha256", "tokenizer_sha256"):
        expected, found = getattr(manifest, what), getattr(files, what)
        if expected != found:
            raise ModelDigestMismatch(
                f"The workload names the {what} {expected}, the files have {found}.",
                way_out="Pull the model that the workload names.",
                expected=expected,
                found=found,
            )


def require_described(
    manifest: Manifest, params: Collection[str], optional: Collection[str] = (), **has: object
) -> None:
    """Raises EngineMismatch unless a manifest describes an engine.

    Args:
        manifest: the workload's.
        params: parameters that the workload must have.
        optional: others that it may have.
        has: what the engine has of the manifest's fields, by name.
    """
    wanted, found = {name: getattr(manifest, name) for name in has}, set(manifest.params)
    if wanted != has or not set(params) <= found <= {*params, *optional}:
        raise EngineMismatch(
            f"The workload wants {wanted} and the parameters {sorted(found)}; this engine has {has} and takes "
            f"{sorted({*params, *optional})}.",
            way_out="Install the release that carries that engine, or correct the manifest: its workload id changes.",
            expected=has,
            found=wanted,
        )


def require_positions(manifest: Manifest, available: int) -> None:
    """Raises UnsupportedModel where the workload's longest text and answer exceed the model's positions."""
    needed = manifest.input.max_tokens + (manifest.most_new_tokens or 0)
    if needed > available:
        raise UnsupportedModel(
            f"The workload allows {needed} positions, the model has {available}.",
            way_out="Lower input.max_tokens or params.max_new_tokens.maximum in the manifest (`assay models manifest "
            "--max-tokens` and `--max-new-tokens`).",
            needed=needed,
            available=available,
        )


def require_room(manifest: Manifest, positions: int, vocab_size: int) -> None:
    """Raises UnsupportedModel where a model of this size cannot answer all that its workload takes, or none of it."""
    require_positions(manifest, positions)
    around, longest = manifest.prompt(()), manifest.input.max_tokens
    if len(around) >= longest:
        raise UnsupportedModel(
            f"The template has {len(around)} tokens, and a text with them may have {longest}.",
            way_out="Shorten the system message, or give more --max-tokens.",
        )
    beyond = [each for each in (*around, *manifest.stops) if each >= vocab_size]
    if beyond:
        raise UnsupportedModel(
            f"The template or the stops have the tokens {beyond[:5]}, and the model knows {vocab_size}.",
            way_out="Use the tokenizer that was published with these weights.",
        )
    output = WORD_BYTES * (1 + manifest.input.max_texts * (1 + (manifest.most_new_tokens or 0)))
    if output > MAX_OUTPUT_BYTES:
        raise UnsupportedModel(
            f"Answers to {manifest.input.max_texts} texts could have {output} bytes, {MAX_OUTPUT_BYTES} are the most.",
            way_out="Give fewer --max-texts or --max-new-tokens.",
        )


def require_showable(output: bytes) -> None:
    """Raises OutputTooLong for an output that does not fit into the transaction that answers a contest."""
    if len(output) > MAX_OUTPUT_BYTES:
        raise AnswerTooLong(
            f"The output has {len(output)} bytes, the transaction that answers a contest carries {MAX_OUTPUT_BYTES}.",
            way_out="Lower input.max_texts or the parameters' ranges in the workload's manifest.",
            found=len(output),
            limit=MAX_OUTPUT_BYTES,
        )
