"""Chat completion by the exact engine, behind the port of `node_agent.execution.engine`.

Prompt, output and units: the kind `generation` (`node_agent/execution/kinds/generation.py`). One teacher-forced pass
checks the trace (`trace.py`), so a check does not generate again.

Parameters: `max_new_tokens`, and if the manifest has them `temperature_milli` (0: greedy), `top_p_ppm` and `seed`. The
order signs them, so that no node chooses what is drawn.
"""

import hashlib
from collections.abc import Mapping, Sequence

from contracts.protocol.errors import NotPacked
from contracts.protocol.manifest import MAX_NEW_TOKENS
from contracts.protocol.packed import packed_root, unpack
from node_agent.execution.engine import Execution, Speed
from node_agent.execution.errors import ExecutionError, OutOfMemory
from node_agent.execution.exact.engine import ExactEngine, traced_execution
from node_agent.execution.exact.llama.decoding import DecodingBatch, DecodingRun, DecodingTask, generate, recheck
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.exact.port import Cache, LlamaModel, Reading, Way
from node_agent.execution.exact.sampling import WHOLE_PPM, ExactSampling
from node_agent.execution.exact.ways import timed
from node_agent.execution.limits import read_prompts, require_params

TEMPERATURE, TOP_P, SEED = "temperature_milli", "top_p_ppm", "seed"
SEED_TAG = b"assay/exact/seed/2\n"

MEASURED_READ, MEASURED_WRITTEN = 32, 6
"""Tokens that measure a host's speed: a second or two on a slow CPU."""


class ExactGeneration(ExactEngine):
    """See `engine.Engine`."""

    meter = "new_tokens"
    params = (MAX_NEW_TOKENS,)
    optional = (TEMPERATURE, TOP_P, SEED)
    read = staticmethod(read_model)
    model: LlamaModel

    @staticmethod
    def model_by(way: Way, parameters: Parameters) -> LlamaModel:
        """See `ExactEngine`."""
        return way.llama(parameters)

    def measure(self, way: str, patience_s: float) -> Speed:
        """See `ExactEngine`: a prompt read, then tokens generated after it."""
        prompt = [(7919 * index) % self.model.config.vocab_size for index in range(MEASURED_READ)]

        def read() -> Cache:
            cache: Cache = self.model.new_cache(MEASURED_READ + 2 * MEASURED_WRITTEN)
            self.model.read([Reading(prompt, cache, 1)])
            return cache

        read_s = timed(read, rounds=1)
        if read_s < patience_s:
            read_s = min(read_s, timed(read))
        cache = read()

        def write() -> None:
            for token in prompt[:MEASURED_WRITTEN]:
                self.model.read([Reading([token], cache, 1)])

        return Speed(way, MEASURED_READ / read_s, MEASURED_WRITTEN / timed(write))

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Answer the texts of an input together. Errors as in `engine.Engine`, and OutputTooLong."""
        tasks = self.tasks(input_bytes, params)
        return self.execution(generate(self.model, tasks))

    def recheck(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> Execution:
        """See `engine.Engine`: one pass over the claimed tokens where they are right, else the work again."""
        tasks, answers = self.tasks(input_bytes, params), token_ids(claimed)
        runs: list[DecodingRun] = []
        if len(answers) == len(tasks):
            found = (recheck(self.model, task, answer) for task, answer in zip(tasks, answers, strict=True))
            runs = [run for run in found if run is not None]
        return self.execution(runs if len(runs) == len(tasks) else generate(self.model, tasks))

    def new_batch(self) -> "OrderBatch":
        """See `engine.Batching`."""
        return OrderBatch(self)

    def tasks(self, input_bytes: bytes, params: Mapping[str, int]) -> list[DecodingTask]:
        """An order's tasks, one a text; they may share a batch with any others. Errors as in `engine.Engine`."""
        require_params(self.manifest.params, params)
        prompts = read_prompts(self.manifest.input, self.model.config.vocab_size, input_bytes)
        seed = SEED_TAG + params.get(SEED, 0).to_bytes(32, "big") + packed_root(input_bytes)
        sampling = ExactSampling(
            params.get(TEMPERATURE, 0), params.get(TOP_P, WHOLE_PPM), hashlib.sha256(seed).digest()
        )
        limit, stops = params[MAX_NEW_TOKENS], frozenset(self.manifest.stops)
        return [DecodingTask(prompt, limit, stops, sampling, index) for index, prompt in enumerate(prompts)]

    def execution(self, runs: Sequence[DecodingRun]) -> Execution:
        """The result of an order's finished runs, in order. Raises OutputTooLong."""
        answers = [run.chosen for run in runs]
        return traced_execution(answers, [run.trace for run in runs], sum(map(len, answers)))


class OrderBatch:
    """Orders answered together, each as `ExactGeneration.execute` answers it alone; see `engine.Batch`."""

    def __init__(self, engine: ExactGeneration) -> None:
        self._engine, self._batch = engine, DecodingBatch(engine.model)
        self._orders: dict[int, list[DecodingRun]] = {}

    @property
    def busy(self) -> bool:
        """See `engine.Batch`."""
        return bool(self._orders)

    def join(self, key: int, input_bytes: bytes, params: Mapping[str, int]) -> None:
        """See `engine.Batch`."""
        joined: list[DecodingRun] = []
        try:
            for task in self._engine.tasks(input_bytes, params):
                joined.append(self._batch.join(task))
        except MemoryError as error:
            self._batch.leave(joined)
            raise OutOfMemory(
                f"No memory is left for this order beside {len(self._orders)} under way.",
                way_out="Serve fewer jobs at once (--slots), or a workload of shorter texts.",
                under_way=len(self._orders),
            ) from error
        self._orders[key] = joined

    def step(self) -> list[tuple[int, Execution | ExecutionError]]:
        """See `engine.Batch`."""
        self._batch.step()
        done = [key for key, runs in self._orders.items() if all(run.done for run in runs)]
        return [(key, self._result(self._orders.pop(key))) for key in done]

    def _result(self, runs: Sequence[DecodingRun]) -> Execution | ExecutionError:
        try:
            return self._engine.execution(runs)
        except ExecutionError as error:
            return error


def token_ids(output: bytes) -> list[list[int]]:
    """The token ids of each answer in an output; no answers for bytes that are no packed lists."""
    try:
        return unpack(output)
    except NotPacked:
        return []
