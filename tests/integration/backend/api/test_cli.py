"""The commands of requesters and of the coordinator's operator."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli import workloads_app
from backend.client.cli import jobs_app, wallet_app
from contracts.protocol.errors import WrongTokenizer
from contracts.protocol.wire import LeaseGrant
from tests.integration.backend.api.coordinator import KEYS, MANIFEST, PASSWORD, TOKENIZER_JSON, Coordinator

pytestmark = pytest.mark.chain


def test_a_job_at_the_command_line(running: Coordinator, environment: dict[str, str]) -> None:
    """Protects people: they see what they signed, what it cost, and the answer. Covers: A51"""
    run, shown = CliRunner(env=environment), []

    def call(app: object, *arguments: str) -> str:
        result = run.invoke(app, list(arguments))  # type: ignore[arg-type]  # a typer app
        assert result.exit_code == 0, result.output
        shown.append(result.output)
        return result.output

    assert "0.00001 ADEV" in call(wallet_app, "deposit", "0.00001")
    running.register_node(stake_units=100_000)
    early = run.invoke(jobs_app, ["submit", "--prompt", "Why?", "--no-wait"])
    assert getattr(early.exception, "code", "") == "nobody_serves"
    running.lease()
    submitted = call(jobs_app, "submit", "--prompt", "Why?", "--max-new-tokens", "4", "--no-wait")
    assert "0.00000014 ADEV" in submitted
    order_id = re.findall("0x[0-9a-f]{64}", submitted)[0]
    grant = LeaseGrant.model_validate_json(running.lease().content)
    assert grant.lease.order_id == order_id
    running.deliver(grant)
    told = call(jobs_app, "show", order_id)
    assert "0.00000012 ADEV for 2 units" in told
    assert "Scattering." in told
    assert order_id[:14] in call(jobs_app, "list")
    assert call(jobs_app, "show", order_id[:14]) == told
    refused = run.invoke(jobs_app, ["receipt", order_id[:14]])
    assert getattr(refused.exception, "code", "") == "not_rooted"
    unripe = run.invoke(wallet_app, ["withdraw", "all"])
    assert "run `assay wallet notice` first" in str(unripe.exception)
    assert " to " in call(wallet_app, "notice")
    assert "the notice matures at" in str(run.invoke(wallet_app, ["withdraw", "all"]).exception)
    poor = run.invoke(wallet_app, ["deposit", "1000000000"])
    assert getattr(poor.exception, "code", "") == "too_little"
    assert " to " not in call(wallet_app, "notice", "--cancel")
    assert KEYS["alice"].address in call(wallet_app, "lanes")
    secret = KEYS["alice"].private_key().hex()
    assert all(secret not in output and PASSWORD not in output for output in shown)


def test_offering_a_workload(tmp_path: Path) -> None:
    """Protects operators of a backend: what they offer is what the list shows, and offering again changes prices."""
    (tmp_path / "manifest.json").write_text(MANIFEST.model_dump_json())
    (tmp_path / "tokenizer.json").write_bytes(TOKENIZER_JSON)
    run = CliRunner(env={"ASSAY_HOME": str(tmp_path / "home"), "COLUMNS": "200"})
    for price in ("100", "200"):
        prices = ["--fixed-price", price, "--unit-price", "10", "--max-units", "9"]
        files = [str(tmp_path / "manifest.json"), "--tokenizer", str(tmp_path / "tokenizer.json")]
        result = run.invoke(workloads_app, ["offer", *files, *prices])
        assert result.exit_code == 0, result.output
    without = run.invoke(workloads_app, ["offer", files[0], *prices])
    assert without.exit_code == 2
    assert "--tokenizer" in without.output
    (tmp_path / "tokenizer.json").write_bytes(TOKENIZER_JSON + b" ")
    other = run.invoke(workloads_app, ["offer", *files, *prices])
    assert isinstance(other.exception, WrongTokenizer)
    listed = run.invoke(workloads_app, ["list"]).output
    assert MANIFEST.workload_id() in listed
    assert "200" in listed
    assert "100" not in listed
