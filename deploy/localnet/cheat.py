"""A node that cheats in a way that pays: every fifth layer is left out, so each job costs it a fifth less work.

Its answers read like answers. It is the node agent itself over another engine, run as
`python -m deploy.localnet.cheat` with the options of `assay node run`; nobody else is told.
"""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from contracts.onchain.deployment import Deployment
from contracts.protocol.manifest import Manifest
from node_agent.app import EngineFactory, NodeSettings, run_node
from node_agent.execution import kinds
from node_agent.execution.engine import Engine
from node_agent.execution.exact.embedding import ExactEmbedding
from node_agent.execution.exact.engine import ExactGeneration
from node_agent.models import ModelStore

DROP_EVERY = 5


def lazy(store: ModelStore) -> EngineFactory:
    """Engines that leave out every fifth layer of the workload's model."""

    def build(manifest: Manifest) -> Engine:
        engine = kinds.load(store.load(manifest.weights_sha256), manifest, "cpu")
        assert isinstance(engine, ExactGeneration | ExactEmbedding)
        del engine.model.layers[DROP_EVERY - 1 :: DROP_EVERY]
        return engine

    return build


def main(
    home: Annotated[Path, typer.Option()],
    rpc: Annotated[str, typer.Option()],
    deployment: Annotated[Path, typer.Option()],
    backend: Annotated[str, typer.Option()],
    workload: Annotated[list[str], typer.Option()],
    models: Annotated[Path, typer.Option()],
) -> None:
    """Serves like `assay node run`, with less work."""
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
    run_node(settings, lazy(ModelStore(models)))


if __name__ == "__main__":
    typer.run(main)
