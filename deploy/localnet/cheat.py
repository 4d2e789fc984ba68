"""Two nodes that cheat for profit. Their answers look plausible.

`lazy` leaves out every fifth layer, so each job costs it a fifth less work. `spoof` does the same, and adds the trace
of an honest prefill over its tokens: one pass of the true model, whose logits are right for the written tokens.

Each is the node agent over another engine, run as `python -m deploy.localnet.cheat --how HOW` with the options of
`assay node run`; no other party knows.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contracts.onchain.deployment import Deployment
from contracts.protocol.manifest import Manifest
from contracts.protocol.trace import trace_hash_of
from node_agent.app import EngineFactory, NodeSettings, run_node
from node_agent.execution import kinds
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.exact.encoder.engine import ExactEmbedding
from node_agent.execution.exact.llama.decoding import DecodingRun, DecodingTask, generate
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.port import LlamaModel, Reading
from node_agent.execution.exact.trace import encode
from node_agent.models import ModelStore

DROP_EVERY = 5
_DROPPED = slice(DROP_EVERY - 1, None, DROP_EVERY)


def lazy(store: ModelStore) -> EngineFactory:
    """Engines that leave out every fifth layer of the workload's model."""

    def build(manifest: Manifest) -> Engine:
        engine = kinds.load(store.load(manifest.weights_sha256), manifest, "cpu")
        assert isinstance(engine, ExactGeneration | ExactEmbedding)
        del engine.model.layers[_DROPPED]
        return engine

    return build


def spoof(store: ModelStore) -> EngineFactory:
    """Engines that generate without every fifth layer and trace with the whole model. Vectors need one prefill only;
    they are honest."""

    def build(manifest: Manifest) -> Engine:
        engine = kinds.load(store.load(manifest.weights_sha256), manifest, "cpu")
        return Spoof(engine) if isinstance(engine, ExactGeneration) else engine

    return build


class Spoof(ExactGeneration):
    """An honest engine whose tokens come from elsewhere."""

    def __init__(self, honest: ExactGeneration) -> None:
        super().__init__(honest.model, honest.manifest)
        self._cheap = copy(honest.model)
        self._cheap.layers = list(honest.model.layers)
        del self._cheap.layers[_DROPPED]

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """See `engine.Engine`."""
        runs = generate(self._cheap, self.tasks(input_bytes, params))
        traced = [prefill_over(self.model, run.task, run.chosen) for run in runs]
        trace = encode([run.trace for run in traced])
        return replace(self.execution(runs), trace_hash=trace_hash_of(trace), trace=trace)


def prefill_over(model: LlamaModel, task: DecodingTask, tokens: Sequence[int]) -> DecodingRun:
    """A run with the trace of one pass over prompt and given tokens; its own choices are the model's tokens after each
    of them."""
    run, past = DecodingRun(task, model.exp2), model.new_cache(len(task.prompt) + len(tokens) - 1)
    for logits in model.read([Reading([*task.prompt, *tokens[:-1]], past, len(tokens))]):
        run.take(logits)
    return run


CHEATS = {"lazy": lazy, "spoof": spoof}


def main(
    how: Annotated[str, typer.Option(help="lazy or spoof")],
    home: Annotated[Path, typer.Option()],
    rpc: Annotated[str, typer.Option()],
    deployment: Annotated[Path, typer.Option()],
    backend: Annotated[str, typer.Option()],
    workload: Annotated[list[str], typer.Option()],
    models: Annotated[Path, typer.Option()],
) -> None:
    """Serves like `assay node run`, with less work. Raises KeyError for an unknown way."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = NodeSettings(
        home=home,
        rpc_url=rpc,
        deployment=Deployment.load(deployment),
        backend_url=backend,
        workloads=tuple(workload),
        password=os.environ["ASSAY_PASSWORD"],
        models=models,
    )
    run_node(settings, CHEATS[how](ModelStore(models)))


if __name__ == "__main__":
    typer.run(main)
