"""README's section on your own model, typed literally: built, described, priced, ordered, served, run again."""

import json
import re
import shlex
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
from tests.integration.node_agent.operator_world import PASSWORD, World, fund_what_it_says, world
from tests.world import chats
from tests.world.prompts import read, root_of
from tests.world.waiting import eventually

README = Path(__file__).parents[3] / "README.md"
SYSTEM, PROMPT = "Answer in one word.", "Why is the sky blue?"
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "attention_bias": False,
    "mlp_bias": False, "vocab_size": chats.VOCABULARY, "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None,
    "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 2,
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


def typed(*commands: str) -> Iterator[list[str]]:
    """The arguments of README's lines, which begin with these commands in this order."""
    section = README.read_text().split("## Offering your own model")[1].split("\n## ")[0]
    lines = [shlex.split(line, comments=True)[1:] for line in section.splitlines() if line.startswith("    assay ")]
    assert [" ".join(line[:2]) for line in lines] == list(commands)
    yield from (line[1:] for line in lines)


@pytest.mark.chain
@pytest.mark.process
@pytest.mark.usefixtures("home")
def test_an_own_model_is_offered_by_commands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects whoever brings a model: no file of ours is edited between its folder and a paid job that anybody can run
    again. The prompt is its own chat template around the text, and an answer ends with its own stops."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_MODELS", str(tmp_path / "models"))
    names = ("models build", "models manifest", "workloads offer", "node run", "jobs submit")
    build, describe, offer, serve, submit = typed(*names)
    origin = str(published(tmp_path / "theirs"))
    run(models_app, *(origin if word == "./model.gguf" else word for word in build))
    printed = run(models_app, *describe)
    tokenizer = re.search(r"its tokenizer: (\S+)", printed)[1]  # type: ignore[index]
    offer = [tokenizer if word == "TOKENIZER.json" else word for word in offer]

    file = tmp_path / "my-model.json"
    manifest, tokens = Manifest.model_validate_json(file.read_bytes()), read(Path(tokenizer).read_bytes())
    prompt = manifest.prompt(tokens.encode(PROMPT))
    assert tokens._tokenizer.decode(prompt, skip_special_tokens=False) == (  # type: ignore[attr-defined]
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert manifest.stops == (0, 2, 5)

    with world(tmp_path / "net") as found:
        run(workloads_app, *offer, "--home", found.folder / "backend")
        with serving(found, tmp_path / "node", serve):
            paid = until_paid(found, ordered(found, tmp_path / "requester", submit))
            said = run_again(found, paid["order_id"], tmp_path)
    assert paid["order"]["terms"]["prompt_root"] == root_of(pack([prompt]))
    assert "generation by my-model" in said
    assert "same: trace, output and units are the node's, bit for bit" in said


def run_again(found: World, order_id: str, folder: Path) -> str:
    """What an auditor sees who has the model."""
    where = ["--rpc", found.rpc, "--escrow", found.deployment.escrow, "--log", f"{found.url}/v1/log"]
    again = ["verify", "--job", order_id, *where, "--models", str(folder / "models"), "--device", "cpu"]
    return Processes(folder / "logs", threads=1).run("again", again)


@contextmanager
def serving(found: World, home: Path, serve: list[str]) -> Iterator[None]:
    """A node in a process of its own, once it serves."""
    where = ["--home", home, "--backend", found.url, "--rpc", found.rpc, "--models", home.parent / "models"]
    fund_what_it_says(found, run(node_app, "init", *where, code=1))
    run(node_app, "init", "--home", home)
    processes = Processes(home / "logs", threads=1)
    party = Party("node", home, PASSWORD)
    processes.start("node", ["node", *serve, "--home", str(home), "--poll-s", "0.2"], party=party)
    try:
        processes.wait_for("node", lambda: _is_served(found))
        yield
    finally:
        processes.stop_all()


def _is_served(found: World) -> bool:
    sheet = httpx.get(f"{found.url}/v1/network").json()["price_sheet"]
    return any(entry["model"] == "my-model" and entry["serving"] for entry in sheet)


def ordered(found: World, home: Path, submit: list[str]) -> str:
    """The id of an order for the model by its name, once it is answered; the wallet deposited for it."""
    requester, processes = Party("requester", home, PASSWORD), Processes(home / "logs")
    wallet = create_key(requester.key("requester"), PASSWORD, iterations=2)
    found.pay(wallet.address, wei=10**18, token_wei=10**18)
    found.deployment.save(home / "deployment.json")
    place = ["--rpc", found.rpc, "--deployment", str(home / "deployment.json")]
    processes.run("deposit", ["wallet", "deposit", "1", *place], party=requester)
    told = processes.run("submit", ["jobs", *submit, *place, "--backend", found.url, "--json"], party=requester)
    return str(json.loads(told)["order_id"])


def until_paid(found: World, order_id: str) -> dict[str, Any]:
    """Waits until the chain has settled the order; the order as everybody sees it."""
    url = f"{found.url}/v1/orders/{order_id}"
    eventually(lambda: httpx.get(url).json()["state"] == "paid", says=lambda: httpx.get(url).text)
    return dict(httpx.get(url).json())
