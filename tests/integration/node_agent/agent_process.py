"""A node as a process of its own, over the shipped fakes of chain and engine: what a test kills.

Its engine is fickle: it gives other bytes at every call, so that an answer computed twice would show.
"""

import sys
from pathlib import Path

from contracts.onchain.keystore import load_key
from node_agent.app import NODE_KEY, NodeSettings, build_session, run_until_told
from node_agent.session.backend_api import BackendApi
from tests.world.node_fakes import EchoEngine, FakeFacts, fake_deployment, fake_manifest


def main(home: Path, backend_url: str, settler: str, password: str, slots: int) -> None:
    """Serves the fake workload until it is told to stop, or killed."""
    deployment, manifest = fake_deployment(settler), fake_manifest()
    settings = NodeSettings(home, "", deployment, backend_url, (), password, poll_s=0.05, slots=slots)
    signer, workload_id = load_key(home / NODE_KEY, password), manifest.workload_id()
    engines = {workload_id: EchoEngine(fickle=True)}
    run_until_told(
        lambda stop: build_session(
            settings,
            signer,
            FakeFacts(settings.deployment.settler),
            BackendApi(backend_url, pause=stop.wait),
            7,
            {workload_id: manifest},
            engines,
        ).run(stop)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
