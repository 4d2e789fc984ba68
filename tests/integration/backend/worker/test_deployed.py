"""A network that came by `assay deploy` pays for work like any other."""

import json
from pathlib import Path

from contracts.onchain.chain import connect
from contracts.onchain.deployment import Deployment, make_dev_token
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import to_hex
from deploy.deploying import run
from deploy.deploying.config import Config
from tests.integration.backend.worker.bench import KEYS, PLAN, Bench
from tests.world.anvil import anvil, give_ether, pass_time
from tests.world.founding import Furnishing
from tests.world.parties import BEACON


def deployed(url: str, file: Path) -> Deployment:
    """Contracts that were deployed from a configuration, as the address file has them; the bench's lanes on them."""
    w3 = connect(url)
    give_ether(w3, PLAN.addresses())
    deployer = Sender(w3, KEYS["deployer"])
    described = {
        "chain_id": 31337, "token": make_dev_token(deployer).lower(), "settler": KEYS["settler"].address,
        "treasury": KEYS["treasury"].address, "guardian": KEYS["deployer"].address,
        "beacon_anchor": to_hex(BEACON.anchor), "constants": "development",
        "governor": {"proposers": [KEYS["deployer"].address]},
    }  # fmt: skip
    run.deploy(deployer, Config.model_validate_json(json.dumps(described)), file, lambda _: None)
    deployment = Deployment.load(file)
    Furnishing(w3, deployment, PLAN, lambda seconds: pass_time(w3, seconds)).furnish()
    return deployment


def test_a_job_is_settled_on_a_network_that_was_deployed(tmp_path: Path) -> None:
    """From delivery to paid: the address file is all that the coordinator is given."""
    with anvil() as url:
        bench = Bench(url, deployed(url, tmp_path / "deployment.json"), tmp_path)
        job = bench.deliver("alice", units=7)
        worker = bench.worker()
        bench.settle(worker)
        settlement = bench.settlement(1)
        assert settlement is not None
        assert settlement.void_bits == settlement.skipped_bits == b"\0"
        bench.assert_books_are_right()
        assert bench.chain.escrow.functions.totals().call()[1] == job.amount * 9 // 10
