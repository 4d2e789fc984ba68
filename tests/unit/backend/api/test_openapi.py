"""The description of the API is part of the repository: a change shows in review."""

import json
import os
from pathlib import Path

from backend.api.http import create_http
from tests.unit.backend.world import World

SNAPSHOT = Path(__file__).parents[4] / "backend" / "api" / "openapi.json"


def test_openapi_snapshot(world: World) -> None:
    """Protects clients from silent changes. ASSAY_WRITE_SNAPSHOTS=1 writes the file anew."""
    found = json.dumps(create_http(world.services).openapi(), indent=1, sort_keys=True) + "\n"
    if os.environ.get("ASSAY_WRITE_SNAPSHOTS"):
        SNAPSHOT.write_text(found)
    assert SNAPSHOT.read_text() == found, "run this test with ASSAY_WRITE_SNAPSHOTS=1 and review the difference"


def test_every_path_of_the_agreement_is_served(world: World) -> None:
    """Protects the agreement: exactly the paths listed in contracts/protocol/wire.py."""
    paths = create_http(world.services).openapi()["paths"]
    assert sorted((method.upper(), path) for path, methods in paths.items() for method in methods) == [
        ("GET", "/v1/blobs/{name}"),
        ("GET", "/v1/books"),
        ("GET", "/v1/epochs"),
        ("GET", "/v1/lanes/{requester}/{signer}"),
        ("GET", "/v1/log/blobs/{name}"),
        ("GET", "/v1/log/epochs/{epoch_id}.jsonl"),
        ("GET", "/v1/network"),
        ("GET", "/v1/nodes"),
        ("GET", "/v1/orders"),
        ("GET", "/v1/orders/{order_id}"),
        ("GET", "/v1/orders/{order_id}/answer"),
        ("GET", "/v1/orders/{order_id}/receipt"),
        ("GET", "/v1/workloads/{workload_id}"),
        ("GET", "/v1/workloads/{workload_id}/tokenizer"),
        ("POST", "/v1/operator/canary"),
        ("POST", "/v1/operator/commitments"),
        ("POST", "/v1/operator/heartbeats"),
        ("POST", "/v1/operator/leases"),
        ("POST", "/v1/operator/returns"),
        ("POST", "/v1/operator/traces"),
        ("POST", "/v1/orders"),
        ("POST", "/v1/tokenize"),
        ("POST", "/v1/verifier/verdicts"),
        ("PUT", "/v1/blobs/{name}"),
    ]
