"""Chat completion by a native model, behind the port of `node_agent.execution.engine`.

Prompt, output and units are those of the kind `generation`. Parameters: `max_new_tokens`, and if the manifest has them
`temperature_milli` (0: greedy) and `seed`. The order signs them, so no node chooses what is drawn. The fingerprint's
directions depend on seed and input, so the answer to one order says nothing about another.

A node signs `NativeOpening.trace_hash` (`contracts.protocol.native.fingerprint`): its class, the digest of all its
logits and its fingerprint. Hosts of the same class check it by running the job again. Others call `observe` and compare
the result with what the node opened (`contracts.protocol.native`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Self

from contracts.protocol.manifest import MAX_NEW_TOKENS, Manifest
from contracts.protocol.native.fingerprint import NativeOpening
from contracts.protocol.native.observation import Observation
from contracts.protocol.packed import pack, packed_root
from node_agent.devices import self_test
from node_agent.devices.gpu import resolve
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.exact.llama.engine import SEED, TEMPERATURE, token_ids
from node_agent.execution.limits import (
    read_prompts,
    require_described,
    require_named,
    require_params,
    require_positions,
    require_showable,
)
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.native.calibration import class_digest
from node_agent.execution.native.generation import GenerationTask, generate, recheck
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.sampling import NativeSampling
from node_agent.execution.native.settings import NativeSettings

SEED_TAG = b"assay/native/seed/2\n"


class NativeGeneration(Engine):
    """See `engine.Engine`. Calls must not overlap in a process.

    Attributes:
        numeric_class: hex digest of this host's calibration.
    """

    name: str = "torch-native"
    version: str = "2"
    check: Check = "prefill"
    pinned: bool = False
    numeric_class: str
    concurrent: bool = False

    def __init__(self, model: NativeLlama, manifest: Manifest) -> None:
        """Assemble from parts and calibrate; `load` is the way in that verifies the parts. Raises UnsupportedModel
        where the workload allows more positions than the model has."""
        self.model, self.manifest, self.stops = model, manifest, frozenset(manifest.stops)
        require_positions(manifest, model.config.max_position_embeddings)
        self.numeric_class = class_digest(model)

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None, known: Speed | None = None) -> Self:
        """See `kinds.EngineType`. A GPU computes in the manifest's number type, a CPU in fp32, which is more precise
        and faster there."""
        where = resolve(device)
        self_test.passed(str(where))
        require_named(files, manifest)
        described = {"engine": cls.name, "engine_version": cls.version, "check": cls.check, "comparator": "native"}
        dtype = "float32" if manifest.dtype == "int8" else manifest.dtype
        require_described(manifest, (MAX_NEW_TOKENS,), (TEMPERATURE, SEED), **described, dtype=dtype)
        settings = NativeSettings(dtype if where.type == "cuda" else "float32")
        model = NativeLlama.load(files.weights, files.config, settings, where)
        return cls(model, manifest)

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Answer the texts of an input together. Errors as in `engine.Engine`, NumericFailure and OutputTooLong."""
        runs = generate(self.model, self._tasks(input_bytes, params))
        output = pack([run.chosen for run in runs])
        require_showable(output)
        rows = hashlib.sha256(b"".join(run.rows_digest for run in runs)).digest()
        fingerprint = b"".join(run.fingerprint for run in runs)
        units = sum(len(run.chosen) for run in runs)
        opening = NativeOpening(self.numeric_class, rows, fingerprint)
        return Execution(output, opening.trace_hash, units, opening.encode())

    def observe(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> bytes:
        """What this host computes for an answer, in one pass over each text; see `engine.Engine`.

        Args:
            input_bytes, params: of the order.
            claimed: the node's output; any bytes. Bytes that are no output of this engine, or answer another number of
                texts, have no tokens to examine and count as not ended.
        """
        tasks, answers = self._tasks(input_bytes, params), token_ids(claimed)
        if len(answers) != len(tasks) or not all(map(_readable, answers, tasks)):
            return Observation(self.numeric_class, b"", (), ended=False).encode()
        runs = [recheck(self.model, task, answer) for task, answer in zip(tasks, answers, strict=True)]
        return Observation(
            self.numeric_class,
            fingerprint=b"".join(run.fingerprint for run in runs),
            margins_milli=tuple(margin for run in runs for margin in run.margins_milli),
            ended=all(run.done for run in runs),
        ).encode()

    def _tasks(self, input_bytes: bytes, params: Mapping[str, int]) -> list[GenerationTask]:
        require_params(self.manifest.params, params)
        prompts = read_prompts(self.manifest.input, self.model.config.vocab_size, input_bytes)
        seed = SEED_TAG + params.get(SEED, 0).to_bytes(32, "big") + packed_root(input_bytes)
        sampling = NativeSampling(params.get(TEMPERATURE, 0), hashlib.sha256(seed).digest())
        limit = params[MAX_NEW_TOKENS]
        return [GenerationTask(prompt, limit, self.stops, sampling, index) for index, prompt in enumerate(prompts)]


def _readable(answer: Sequence[int], task: GenerationTask) -> bool:
    return 0 < len(answer) <= task.limit
