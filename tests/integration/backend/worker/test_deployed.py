"""A network that came by `assay deploy` pays for work like any other."""

import json
from pathlib import Path

from contracts.onchain.deployment import Deployment, make_dev_token
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import to_hex
from deploy.deploying import run
from deploy.deploying.config import Config
from tests.integration.backend.worker.bench import KEYS, Bench, anvil


class DeployedBench(Bench):
    """A bench whose contracts were deployed from a configuration, and are read from the address file."""

    def _deploy(self) -> Deployment:
        deployer, file = Sender(self.w3, KEYS["deployer"]), self.home / "deployment.json"
        described = {
            "chain_id": 31337, "token": make_dev_token(deployer).lower(), "settler": KEYS["settler"].address,
            "treasury": KEYS["treasury"].address, "guardian": KEYS["deployer"].address,
            "beacon_anchor": to_hex(self.beacon.anchor), "constants": "development",
            "governor": {"proposers": [KEYS["deployer"].address]},
        }  # fmt: skip
        run.deploy(deployer, Config.model_validate_json(json.dumps(described)), file, lambda _: None)
        return Deployment.load(file)


def test_a_job_is_settled_on_a_network_that_was_deployed(tmp_path: Path) -> None:
    """From delivery to paid: the address file is all that the coordinator is given."""
    with anvil() as url:
        bench = DeployedBench(url, tmp_path)
        job = bench.deliver("alice", units=7)
        worker = bench.worker()
        bench.drive(worker, 40)
        bench.wait(bench.constants.check_wait_s)
        bench.drive(worker, 8)
        settlement = bench.settlement(1)
        assert settlement is not None
        assert settlement.void_bits == settlement.skipped_bits == b"\0"
        bench.assert_books_are_right()
        assert bench.chain.escrow.functions.totals().call()[1] == job.amount * 9 // 10
