"""Chat completion by the exact engine, behind the port of `node_agent.execution.engine`.

Prompt, output and units: the kind `generation` (`node_agent/execution/kinds/generation.py`), ChatML around one user
message, {"finish_reason", "text", "token_ids"} a text, one unit a token chosen. The trace is taken in chunks
(`trace.py`), and checked by one teacher-forced pass instead of doing the work again.

Parameters: `max_new_tokens`, and as far as the manifest has them `temperature_milli` (0: greedy), `top_p_ppm` and
`seed`. The order signs them, so that no node chooses what is drawn.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from contracts.protocol.canonical import canonical_json
from contracts.protocol.manifest import MAX_NEW_TOKENS, InputLimits, Manifest
from contracts.protocol.tokens import TextTokenizer
from node_agent.devices.probe import resolve
from node_agent.execution import determinism
from node_agent.execution.chat import chat_template
from node_agent.execution.engine import Check, Execution
from node_agent.execution.errors import EngineMismatch, UnsupportedModel
from node_agent.execution.exact import self_test
from node_agent.execution.exact.decoding import Run, Task, generate, recheck
from node_agent.execution.exact.model import ExactLlama
from node_agent.execution.exact.model_file import read_model
from node_agent.execution.exact.sampling import WHOLE_PPM, Sampling
from node_agent.execution.exact.trace import trace_hash
from node_agent.execution.limits import read_tokens, require_named, require_params, require_showable
from node_agent.execution.model_files import ModelFiles

TEMPERATURE, TOP_P, SEED = "temperature_milli", "top_p_ppm", "seed"
SEED_TAG = b"assay/exact/seed/1\n"


@dataclass(frozen=True)
class Prompting:
    """What a workload puts around a text, and what ends an answer.

    Attributes:
        before, after: ids around a text's own.
        stops: ids that end an answer.
    """

    before: Sequence[int]
    after: Sequence[int]
    stops: frozenset[int]

    @classmethod
    def chat(cls, tokenizer: TextTokenizer) -> Self:
        """ChatML, as SmolLM2-Instruct's own template. Raises UnsupportedModel."""
        before, after, stops = chat_template(tokenizer)
        return cls(before, after, frozenset(stops))


class ExactGeneration:
    """See `engine.Engine`. Calls must not overlap in a process."""

    name: str = "exact"
    version: str = "1"
    check: Check = "prefill"
    pinned: bool = False

    def __init__(
        self, model: ExactLlama, tokenizer: TextTokenizer, manifest: Manifest, prompting: Prompting | None = None
    ) -> None:
        """Assemble from parts; `load` is the way in that verifies them.

        Raises:
            EngineMismatch: the manifest describes another engine, or other parameters than this one has.
            UnsupportedModel: the workload allows more positions than the model has.
        """
        self.model, self.tokenizer, self.manifest = model, tokenizer, manifest
        self.prompting = prompting or Prompting.chat(tokenizer)
        self._require_fit()

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None) -> Self:
        """Load a model file whose digest the store has verified, on a host that passes the self-test.

        Args:
            files: from the model store.
            manifest: the workload to serve.
            device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.

        Raises:
            SelfTestFailed: this host computes wrongly; nothing that it computes may be signed.
            ModelDigestMismatch, UnsafeModelFormat, UnsupportedModel, EngineMismatch: the parts are not the manifest's.
        """
        where = resolve(device)
        products = self_test.sound_products(str(where))
        require_named(files, manifest)
        model = ExactLlama(read_model(files.weights), products, where)
        return cls(model, TextTokenizer(files.tokenizer.read_bytes(), manifest.tokenizer_sha256), manifest)

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Answer the texts of an input together. Errors as in `engine.Engine`, and OutputTooLong."""
        tasks = self._tasks(input_bytes, params)
        determinism.full_precision()
        return self._execution(generate(self.model, tasks))

    def recheck(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> Execution:
        """See `engine.Engine`: derived from one pass over the claimed tokens if they are right, else the work again."""
        tasks, answers = self._tasks(input_bytes, params), token_ids(claimed)
        determinism.full_precision()
        runs: list[Run] = []
        if len(answers) == len(tasks):
            found = (recheck(self.model, task, answer) for task, answer in zip(tasks, answers, strict=True))
            runs = [run for run in found if run is not None]
        return self._execution(runs if len(runs) == len(tasks) else generate(self.model, tasks))

    def _tasks(self, input_bytes: bytes, params: Mapping[str, int]) -> list[Task]:
        require_params(self.manifest.params, params)
        texts = read_tokens(self.manifest.input, self.tokenizer, input_bytes)
        seed = SEED_TAG + params.get(SEED, 0).to_bytes(32, "big") + hashlib.sha256(input_bytes).digest()
        sampling = Sampling(params.get(TEMPERATURE, 0), params.get(TOP_P, WHOLE_PPM), hashlib.sha256(seed).digest())
        around = self.prompting
        return [
            Task([*around.before, *tokens, *around.after], params[MAX_NEW_TOKENS], around.stops, sampling, index)
            for index, tokens in enumerate(texts)
        ]

    def _execution(self, runs: Sequence[Run]) -> Execution:
        output = canonical_json([self._answer(run) for run in runs])
        require_showable(output)
        units = sum(len(run.chosen) for run in runs)
        return Execution(output=output, trace_hash=trace_hash([run.trace for run in runs]), units=units)

    def _answer(self, run: Run) -> dict[str, Any]:
        stopped = run.chosen[-1] in run.task.stops
        text = self.tokenizer.decode(run.chosen[:-1] if stopped else run.chosen)
        return {"finish_reason": "stop" if stopped else "length", "text": text, "token_ids": run.chosen}

    def _require_fit(self) -> None:
        manifest, limits = self.manifest, self.manifest.input
        wanted, have = (manifest.engine, manifest.engine_version, manifest.check), (self.name, self.version, self.check)
        overhead = len(self.prompting.before) + len(self.prompting.after)
        known = {MAX_NEW_TOKENS, TEMPERATURE, TOP_P, SEED}
        if (
            wanted != have
            or limits.overhead_tokens != overhead
            or not {MAX_NEW_TOKENS} <= set(manifest.params) <= known
        ):
            raise EngineMismatch(
                f"The workload wants engine, version and check {wanted}, {limits.overhead_tokens} tokens around a text "
                f"and the parameters {sorted(manifest.params)}; this is {have}, {overhead}, of {sorted(known)}.",
                way_out="Correct the manifest; its workload id changes with it.",
                expected=have,
                found=wanted,
            )
        _require_positions(limits, manifest.params[MAX_NEW_TOKENS].maximum, self.model.config.positions)


def _require_positions(limits: InputLimits, new_tokens: int, available: int) -> None:
    needed = limits.max_tokens + new_tokens
    if needed > available:
        raise UnsupportedModel(
            f"The workload allows {needed} positions, the model has {available}.",
            way_out="Lower input.max_tokens or params.max_new_tokens.maximum in the manifest.",
            needed=needed,
            available=available,
        )


def token_ids(output: bytes) -> list[list[int]]:
    """The token ids of each answer of an output; an empty list for what is no output of this engine."""
    try:
        answers = json.loads(output)
        found = [answer["token_ids"] for answer in answers]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    good = all(isinstance(ids, list) and all(type(each) is int and each >= 0 for each in ids) for ids in found)
    return found if good else []
