"""Nodes that cheat on the exact engine: SmolLM2-135M, real prompts, and the check that verifiers run.

Each job is one prompt and up to NEW tokens. A cheat's answer becomes a commitment as a node's would, a verifier
re-derives it as `ExactGeneration.recheck` does, and `contracts.protocol.typed_data.agrees` decides. Answers are sampled
at temperature 0.8, so that the order's seed matters; the cheap models of the cheats use the seed too.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest

import numpy as np

from bench.adversaries.rows import Caught
from bench.exact import models
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, packed_root, unpack
from contracts.protocol.records import Commitment, Opening
from contracts.protocol.typed_data import agrees, trace_commit
from deploy.localnet.cheat import prefill_over
from node_agent.execution import kinds
from node_agent.execution.engine import Execution
from node_agent.execution.exact import ways
from node_agent.execution.exact.llama.decoding import DecodingRun, DecodingTask, generate, recheck
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.llama.model_file import Matrix, Parameters, read_model
from node_agent.models import ModelStore

NEW, TOGETHER = 64, 16
TEMPERATURE_MILLI = 800
NODE = "0x" + "0d" * 20
BLOCK_MATRICES = ("qkv", "attention_out", "gate_up", "down")


@dataclass(frozen=True)
class Job:
    """An order for one text. `number` makes its id, seed and prompt its own. `prompts`: packed."""

    number: int
    prompts: bytes

    @property
    def params(self) -> dict[str, int]:
        chosen = {"max_new_tokens": NEW, "temperature_milli": TEMPERATURE_MILLI, "top_p_ppm": 1_000_000}
        return chosen | {"seed": self.number}

    @property
    def order_id(self) -> bytes:
        return keccak(self.prompts + self.number.to_bytes(8, "big"))


def jobs(count: int) -> list[Job]:
    """Orders for an answer to a piece of real English each."""
    text, tokenizer = models.english(), models.tokenizer()
    starts = [number * (len(text) - 64) // count for number in range(count)]
    pieces = [tokenizer.decode(text[start : start + 12 + 5 * number % 37]) for number, start in enumerate(starts)]
    return [Job(number, pack([models.prompt(tokenizer.encode(piece))])) for number, piece in enumerate(pieces)]


class Bench:
    """An honest node and verifier, cheats over other models, and the orders that all of them answer.

    Attributes:
        honest: what the honest node answered, by job.
        seconds: what generating took, by the name of the model: the honest one's is "model".
    """

    def __init__(self, count: int) -> None:
        files = ModelStore().load(models.EXACT)
        self.manifest: Manifest = kinds.write_manifest("generation", models.EXACT, "cpu", check_price_units=1)
        self.parameters = read_model(files.weights)
        self.way = ways.sound("cpu").ways[0]
        self.engine = self.engine_of(self.parameters)
        self.jobs, self.seconds = jobs(count), dict[str, float]()
        self.honest = self.generated("model", self.engine)

    def engine_of(self, parameters: Parameters, drop: slice | None = None) -> ExactGeneration:
        """An engine over other weights, or without some layers."""
        model = self.way.llama(parameters)
        if drop is not None:
            del model.layers[drop]
        return ExactGeneration(model, self.manifest)

    def generated(
        self, name: str, engine: ExactGeneration, change: Callable[[DecodingTask], DecodingTask] = lambda task: task
    ) -> list[Execution]:
        """All jobs answered by an engine, several together."""
        start = time.perf_counter()
        tasks = [change(task) for job in self.jobs for task in engine.tasks(job.prompts, job.params)]
        runs: list[DecodingRun] = []
        for first in range(0, len(tasks), TOGETHER):
            runs += generate(engine.model, tasks[first : first + TOGETHER])
        self.seconds[name] = time.perf_counter() - start
        return [engine.execution([run]) for run in runs]

    def spoofed(self, cheap: Sequence[Execution]) -> list[Execution]:
        """A trace for each answer of a cheap model as the honest model's one prefill over its tokens gives it."""
        found = []
        for job, execution in zip(self.jobs, cheap, strict=True):
            (task,) = self.engine.tasks(job.prompts, job.params)
            run = prefill_over(self.engine.model, task, _tokens(execution))
            found.append(replace(execution, trace_hash=self.engine.execution([run]).trace_hash, trace=b""))
        return found

    def caught(self, name: str, how: str, answers: Sequence[Execution]) -> Caught:
        """Holds each answer against what a verifier computes."""
        wrong = caught = since = 0
        tokens, gaps = [], []
        for job, claimed, right in zip(self.jobs, answers, self.honest, strict=True):
            commitment = Commitment(
                order_id=to_hex(job.order_id),
                node=NODE,
                output_root=to_hex(packed_root(claimed.output)),
                trace_commit=to_hex(trace_commit(claimed.trace_hash, job.order_id, NODE)),
                units=claimed.units,
            )
            if claimed == right:
                since += right.units
                continue
            wrong += 1
            if not agrees(self._opening(job, claimed, right), commitment):
                caught += 1
                tokens.append(_first_wrong(claimed, right))
                gaps.append(since + tokens[-1])
                since = 0
        return Caught(name, how, len(answers), wrong, caught, tuple(tokens), tuple(gaps))

    def _opening(self, job: Job, claimed: Execution, right: Execution) -> Opening:
        """What a verifier computes: from one pass over the claimed tokens if those are right. Else it does the work
        again, which was done once for all cheats: any batch gives the same bits."""
        (task,) = self.engine.tasks(job.prompts, job.params)
        run = recheck(self.engine.model, task, _tokens(claimed))
        found = right if run is None else self.engine.execution([run])
        return Opening(
            trace_hash=to_hex(found.trace_hash), output_root=to_hex(packed_root(found.output)), units=found.units
        )


def _tokens(execution: Execution) -> list[int]:
    (found,) = unpack(execution.output)
    return found


def _first_wrong(claimed: Execution, right: Execution) -> int:
    """Position of the first token that differs, counted from 1; of the last where only the trace or the units do."""
    mine, theirs = _tokens(claimed), _tokens(right)
    pairs = enumerate(zip_longest(mine, theirs), start=1)
    return next((place for place, (one, other) in pairs if one != other), len(mine))


def _made_up(tokens: Sequence[int], trace: bytes) -> Execution:
    return Execution(output=pack([tokens]), trace_hash=trace, units=len(tokens))


def coarser(parameters: Parameters, levels: int, group: int | None = None) -> Parameters:
    """The blocks' matrices rounded to a grid of -levels..levels, other than the model's own: one a row, or one for
    each `group` inputs of it."""

    def rounded(matrix: Matrix) -> Matrix:
        outputs, inputs = matrix.weight.shape
        groups = matrix.weight.astype(np.float64).reshape(outputs, -1, group or inputs)
        step = np.maximum(np.abs(groups).max(-1, keepdims=True), 1.0) / levels
        weight = np.rint(np.rint(groups / step) * step).astype(np.int8).reshape(outputs, inputs)
        return replace(matrix, weight=weight)

    blocks = tuple(
        replace(layer, **{name: rounded(getattr(layer, name)) for name in BLOCK_MATRICES})
        for layer in parameters.layers
    )
    return replace(parameters, layers=blocks)


@cache
def _noise(number: int) -> bytes:
    return keccak(b"noise" + number.to_bytes(8, "big"))


def measure(count: int) -> tuple[list[Caught], dict[str, float]]:
    """Every cheat over `count` jobs, and seconds of generating by model."""
    bench = Bench(count)
    return [*_without_a_model(bench), *_with_another_model(bench), *_with_the_model(bench)], bench.seconds


def _without_a_model(bench: Bench) -> list[Caught]:
    """Answers that no work was done for. The trace is a guess, or one that was seen elsewhere."""
    vocabulary, honest = bench.engine.model.config.vocab_size, bench.honest

    def random_tokens(number: int) -> list[int]:
        return [int.from_bytes(keccak(_noise(number) + bytes([k])), "big") % vocabulary for k in range(NEW)]

    made = [_made_up(random_tokens(number), _noise(number)) for number in range(len(honest))]
    empty = [_made_up([2], _noise(number)) for number in range(len(honest))]
    copied = [honest[number - 1] for number in range(len(honest))]
    replayed = [
        replace(each, trace_hash=honest[number - 1].trace_hash, trace=b"") for number, each in enumerate(honest)
    ]
    return [
        bench.caught("random answer", "tokens and trace drawn at random", made),
        bench.caught("empty answer", "stops at once, the trace is a guess", empty),
        bench.caught("copied answer", "answer and trace of another job", copied),
        bench.caught("trace replay", "the right answer, found elsewhere, with another job's trace", replayed),
    ]


def _with_another_model(bench: Bench) -> list[Caught]:
    """Cheaper models, and their answers with the trace of an honest prefill."""
    layers = bench.parameters.config.num_hidden_layers
    others = {
        "half the layers": ("every second layer left out", bench.parameters, slice(1, None, 2)),
        "dropped layer": ("one layer of thirty left out", bench.parameters, slice(layers // 2, layers // 2 + 1)),
        "int8, another grid": ("blocks' weights on 201 levels a row", coarser(bench.parameters, 100), None),
        "int4": ("blocks' weights on 15 levels, a scale for 32", coarser(bench.parameters, 7, 32), None),
    }
    found = []
    for name, (how, parameters, drop) in others.items():
        cheap = bench.generated(name, bench.engine_of(parameters, drop))
        found.append(bench.caught(name, how, cheap))
        found.append(
            bench.caught(f"prefill spoof, {name}", "its tokens, the true model's prefill", bench.spoofed(cheap))
        )
    return found


def _with_the_model(bench: Bench) -> list[Caught]:
    """The right model, used for something else than was ordered."""

    def other_prompt(task: DecodingTask) -> DecodingTask:
        return replace(task, prompt=[*task.prompt[:-6], 198, *task.prompt[-6:]])

    def other_seed(task: DecodingTask) -> DecodingTask:
        return replace(task, sampling=replace(task.sampling, seed=b"\0" * 32))

    altered = bench.generated("altered prompt", bench.engine, other_prompt)
    ignored = bench.generated("ignored seed", bench.engine, other_seed)
    short = bench.generated("truncated output", bench.engine, lambda task: replace(task, limit=NEW // 2))
    inflated = [replace(each, units=each.units * 200) for each in bench.honest]
    return [
        bench.caught("altered prompt", "one token more in the prompt", altered),
        bench.caught("ignored seed", "samples with a seed of its own", ignored),
        bench.caught("truncated output", f"stops after {NEW // 2} tokens", short),
        bench.caught("inflated meter", "reports 200 times the tokens", inflated),
    ]
