"""SmolLM2-135M between two classes: an honest bf16 node before an fp32 verifier, and who pretends to be one."""

import pytest
import torch

from bench.native.__main__ import thresholds_of
from bench.native.hosts import CHEATS
from bench.native.raw import read
from bench.native.texts import tasks
from contracts.protocol.native import Evidence, Finding, Thresholds, compare, judge
from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.native.generation import GenerationRun, GenerationTask, generate, recheck
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.settings import Dtype, NativeSettings

pytestmark = pytest.mark.model

TEXTS, LIMIT = 2, 32


@pytest.fixture(scope="module")
def asked(smollm_files: ModelFiles) -> list[GenerationTask]:
    """Two seeded texts."""
    tokenizer = TextTokenizer(smollm_files.tokenizer.read_bytes(), smollm_files.tokenizer_sha256)
    return tasks(tokenizer, 2, TEXTS + 1, LIMIT)[1:]


@pytest.fixture(scope="module")
def verifier(smollm_files: ModelFiles) -> NativeLlama:
    """In fp32."""
    return loaded(smollm_files, "float32")


@pytest.fixture(scope="module")
def thresholds() -> Thresholds:
    """Those of bf16 nodes before fp32 verifiers: the classes of one machine, and a measure for any other."""
    return thresholds_of(read("bf16--fp32"))


def loaded(files: ModelFiles, dtype: Dtype) -> NativeLlama:
    """One model."""
    return NativeLlama.load(files.weights, files.config, NativeSettings(dtype), torch.device("cpu"))


def seen(node: list[GenerationRun], spoof: list[GenerationRun] | None, verifier: NativeLlama) -> Evidence:
    """All texts as one job; with `spoof`, the node shows another run's fingerprints."""
    checked = [recheck(verifier, run.task, run.chosen) for run in node]
    shown = b"".join(run.fingerprint for run in spoof or node)
    margins = [margin for run in checked for margin in run.margins_milli]
    return compare(shown, b"".join(run.fingerprint for run in checked), margins, ended=True)


def test_bf16_before_fp32(
    smollm_files: ModelFiles, asked: list[GenerationTask], verifier: NativeLlama, thresholds: Thresholds
) -> None:
    """Honest work is accepted; weights rounded to four bits are caught, with their own fingerprint and a spoofed one.

    Covers: A08, A09, A53
    """
    node = loaded(smollm_files, "bfloat16")
    honest = seen(generate(node, asked), None, verifier)
    assert judge(honest, thresholds).finding is Finding.ACCEPT
    cheap = loaded(smollm_files, "bfloat16")
    tamper = CHEATS["int4-group32"].tamper
    assert tamper is not None
    tamper(cheap)
    runs = generate(cheap, asked)
    assert judge(seen(runs, None, verifier), thresholds).finding is Finding.SUSPECT
    spoofed = [recheck(node, run.task, run.chosen) for run in runs]
    assert judge(seen(runs, spoofed, verifier), thresholds).finding is Finding.SUSPECT
