"""A model that somebody brings is offered by commands alone: built, described, priced, ordered, served, run again."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file
from typer import Typer
from typer.testing import CliRunner

from backend.cli import workloads_app
from contracts.onchain.keystore import create_key
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from deploy.localnet.processes import Party, Processes
from node_agent.cli import node_app
from node_agent.cli_models import app as models_app
from tests.integration.node_agent.operator_world import FIXED, PASSWORD, UNIT, World, fund_what_it_says
from tests.world import chats
from tests.world.prompts import read, root_of
from tests.world.waiting import eventually

SYSTEM, PROMPT, TOKENS = "Answer in one word.", "Why is the sky blue?", 8
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "attention_bias": False,
    "mlp_bias": False, "vocab_size": chats.VOCABULARY, "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": True,
    "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip


def published(folder: Path) -> Path:
    """A small Llama of random numbers, as Hugging Face keeps one that chats."""
    rng, c, f, kv = np.random.default_rng(7), 64, 96, 32
    shapes = {"model.embed_tokens": (chats.VOCABULARY, c), "model.norm": (c,)}
    for layer in range(2):
        shapes |= {
            f"model.layers.{layer}.{name}": shape
            for name, shape in {
                "input_layernorm": (c,), "post_attention_layernorm": (c,), "self_attn.q_proj": (c, c),
                "self_attn.k_proj": (kv, c), "self_attn.v_proj": (kv, c), "self_attn.o_proj": (c, c),
                "mlp.gate_proj": (f, c), "mlp.up_proj": (f, c), "mlp.down_proj": (c, f),
            }.items()
        }  # fmt: skip
    state = {f"{name}.weight": rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_bytes(chats.trained("qwen2"))
    said = {"chat_template": chats.QWEN3, "bos_token": None, "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    return folder


def run(app: Typer, *arguments: object, code: int = 0) -> str:
    """What a command printed, and the error that ended it."""
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return f"{result.output}{result.exception or ''}"


@pytest.mark.chain
@pytest.mark.process
@pytest.mark.usefixtures("home")
def test_an_own_model_is_offered_by_commands_alone(found: World, tmp_path: Path) -> None:
    """Protects whoever brings a model: no file of ours is edited between its folder and a paid job that anybody can run
    again. The prompt is its own chat template around the text, and an answer ends with its own stops."""
    models, file = tmp_path / "models", tmp_path / "own.json"
    built = run(models_app, "build", published(tmp_path / "theirs"), "--name", "own-model", "--store", models)
    assert "assay models manifest generation own-model" in built
    describe = ["manifest", "generation", "own-model", "--store", models, "--check-price", 1, "--system", SYSTEM]
    refused = run(models_app, *describe, "--out", file, code=1)
    assert "The workload allows 1536 positions, the model has 256" in refused
    limits = ["--max-tokens", 160, "--max-new-tokens", TOKENS]
    printed = run(models_app, *describe, *limits, "--out", file)
    tokenizer = re.search(r"its tokenizer: (\S+)", printed)[1]  # type: ignore[index]
    prices = ["--fixed-price", FIXED, "--unit-price", UNIT, "--max-units", TOKENS]
    run(workloads_app, "offer", file, "--tokenizer", tokenizer, *prices, "--home", found.folder / "backend")

    manifest, tokens = Manifest.model_validate_json(file.read_bytes()), read(Path(tokenizer).read_bytes())
    prompt = manifest.prompt(tokens.encode(PROMPT))
    assert tokens._tokenizer.decode(prompt, skip_special_tokens=False) == (  # type: ignore[attr-defined]
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert manifest.stops == (0, 2, 5)

    with serving(found, tmp_path / "node", file, models):
        order_id = ordered(found, tmp_path / "requester")
        paid = until_paid(found, order_id)
    assert paid["order"]["terms"]["prompt_root"] == root_of(pack([prompt]))
    where = ["--rpc", found.rpc, "--escrow", found.deployment.escrow, "--log", f"{found.url}/v1/log"]
    again = ["verify", "--job", order_id, *where, "--models", str(models), "--device", "cpu"]
    said = Processes(tmp_path / "logs", threads=1).run("again", again)
    assert "generation by own-model" in said
    assert "same: trace, output and units are the node's, bit for bit" in said


@contextmanager
def serving(found: World, home: Path, file: Path, models: Path) -> Iterator[None]:
    """A node that runs `assay node run` on this workload, in a process of its own."""
    where = ["--home", home, "--backend", found.url, "--rpc", found.rpc]
    fund_what_it_says(found, run(node_app, "init", *where, "--models", models, code=1))
    run(node_app, "init", "--home", home)
    processes = Processes(home / "logs", threads=1)
    party = Party("node", home, PASSWORD)
    serve = ["node", "run", "--home", str(home), "--workload", str(file), "--poll-s", "0.2"]
    processes.start("node", serve, party=party)
    try:
        processes.wait_for("node", lambda: _is_served(found))
        yield
    finally:
        processes.stop_all()


def _is_served(found: World) -> bool:
    sheet = httpx.get(f"{found.url}/v1/network").json()["price_sheet"]
    return any(entry["model"] == "own-model" and entry["serving"] for entry in sheet)


def ordered(found: World, home: Path) -> str:
    """The id of an order for the model by its name, once it is answered; the wallet deposited for it."""
    requester, processes = Party("requester", home, PASSWORD), Processes(home / "logs")
    wallet = create_key(requester.key("requester"), PASSWORD, iterations=2)
    found.pay(wallet.address, wei=10**18, token_wei=10**18)
    found.deployment.save(home / "deployment.json")
    place = ["--rpc", found.rpc, "--deployment", str(home / "deployment.json")]
    processes.run("deposit", ["wallet", "deposit", "1", *place], party=requester)
    submit = ["jobs", "submit", "--workload", "own-model", "--prompt", PROMPT, *place, "--backend", found.url, "--json"]
    return str(json.loads(processes.run("submit", submit, party=requester))["order_id"])


def until_paid(found: World, order_id: str) -> dict[str, Any]:
    """Waits until the chain has settled the order; the order as everybody sees it."""
    url = f"{found.url}/v1/orders/{order_id}"
    eventually(lambda: httpx.get(url).json()["state"] == "paid", says=lambda: httpx.get(url).text)
    return dict(httpx.get(url).json())
