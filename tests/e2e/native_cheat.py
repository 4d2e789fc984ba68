"""A node that is calibrated with the workload's model and answers with its weights rounded to four bits.

The node agent itself over another engine: `python -m tests.e2e.native_cheat --how rounded`, with the options of
`assay node run`.
"""

import typer

from bench.native.tampering import round_weights
from contracts.protocol.manifest import Manifest
from deploy.localnet import cheat
from node_agent.app import EngineFactory
from node_agent.execution import kinds
from node_agent.execution.engine import Engine
from node_agent.execution.native.engine import NativeGeneration
from node_agent.models import ModelStore


def rounded(store: ModelStore) -> EngineFactory:
    """Engines that claim the class of an honest host."""

    def build(manifest: Manifest) -> Engine:
        engine = kinds.load(store.load(manifest.weights_sha256), manifest, "cpu")
        assert isinstance(engine, NativeGeneration)
        round_weights(engine.model, bits=4)  # after its calibration
        return engine

    return build


if __name__ == "__main__":
    cheat.CHEATS["rounded"] = rounded
    typer.run(cheat.main)
