"""The README's example of a new kind of work, taken out of it literally and run: node, backend's rules, verifier."""

import re
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli import workloads_app
from backend.domain.errors import PriceTooLow
from backend.domain.orders import Offer, check_terms
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import counts, pack, unpack_signed
from contracts.protocol.prompts import read_answer
from contracts.protocol.records import Commitment, Order, Terms
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.tokens import TextTokenizer
from contracts.protocol.typed_data import Domain, agrees, differences, trace_commit
from node_agent.cli_models import app as models_app
from node_agent.execution import kinds
from node_agent.execution.errors import UnknownKind
from node_agent.execution.sandbox import Executor
from node_agent.models import ModelStore
from tests.world.prompts import prompts_of, root_of
from verifier.reexecution import LocalEngines, answer

pytestmark = pytest.mark.model

README = Path(kinds.__file__).parent / "README.md"
NOW_S = 1_800_000_000
TEXTS = [
    "The goalkeeper saved a penalty in the last minute.",
    "Simmer the onions in butter, then add the stock.",
    "Parliament votes on the new law tomorrow.",
]


@pytest.fixture
def contributed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The README's code block as a file of a folder of kinds, found like those beside it."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "classification.py").write_text(code)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(folder)])
    monkeypatch.setattr(
        Executor, "load", lambda self, *of_a_workload: kinds.load(*of_a_workload)
    )  # it knows no such path
    yield folder
    sys.modules.pop("node_agent.execution.kinds.classification", None)


def commands(starting: str) -> list[list[str]]:
    """The README's shell lines that begin so, as arguments."""
    lines = [line.strip() for line in README.read_text().splitlines() if line.startswith(f"    assay {starting}")]
    assert lines, starting
    return [shlex.split(line)[2:] for line in lines]


def test_a_kind_is_one_file(contributed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file alone makes a workload that is offered, ordered, run, re-executed by a verifier and compared."""
    own = ["embedding", "float_embedding", "float_generation", "generation", "native_generation"]
    assert kinds.names() == ["classification", *own]
    monkeypatch.chdir(tmp_path)
    store, run = ModelStore(), CliRunner(env={"COLUMNS": "300"}).invoke
    files = store.pull("minilm-l6-v2-exact")

    (line,) = commands("models manifest")
    result = run(models_app, line)
    assert result.exit_code == 0, result.output
    assert str(files.tokenizer) in result.output
    manifest = Manifest.model_validate_json(Path("classification.json").read_bytes())
    (line,) = commands("workloads offer")
    line = [str(files.tokenizer) if word == "TOKENIZER.json" else word for word in line]
    result = run(workloads_app, [*line, "--home", str(tmp_path / "home")])
    assert result.exit_code == 0, result.output

    tokenizer = TextTokenizer(files.tokenizer.read_bytes(), files.tokenizer_sha256)
    prompts = prompts_of(manifest, TEXTS, tokenizer)
    order = ordered(manifest, prompts, tokenizer)
    domain, node = Domain(31337, "0x" + "ee" * 20), Signer(keccak(b"node"))
    execution = kinds.load(files, manifest, "cpu").execute(prompts, {})
    labels = sys.modules["node_agent.execution.kinds.classification"].LABELS
    answers = read_answer(manifest, tokenizer, execution.output)
    assert [labels[place] for place, *_ in answers] == ["sport", "cooking", "politics"]
    assert all(len(scores) == len(labels) and max(scores) == scores[place] for place, *scores in answers)
    assert execution.units == sum(counts(prompts))
    order_id = domain.order_id(order)
    commitment = Commitment(
        order_id=to_hex(order_id),
        node=node.address,
        output_root=root_of(execution.output),
        trace_commit=to_hex(trace_commit(execution.trace_hash, order_id, node.address)),
        units=execution.units,
    )

    opening = answer(LocalEngines(store.root, "cpu").get(manifest), prompts, {})
    assert agrees(opening, commitment)
    other = unpack_signed(execution.output)
    other[1][-1] += 1
    forged = commitment.model_copy(update={"output_root": root_of(pack(other))})
    assert not agrees(opening, forged)
    assert list(differences(opening, forged)) == ["output"]
    assert not agrees(opening.model_copy(update={"trace_hash": to_hex(bytes(32))}), commitment)
    assert opening.output_root == root_of(execution.output)


def ordered(manifest: Manifest, prompts: bytes, tokenizer: TextTokenizer) -> Order:
    """An order that the backend's rules accept at the price of all texts' units, and refuse for a unit less."""
    most, texts = manifest.most_units(counts(prompts), 0), encode_texts(TEXTS)
    terms = Terms(
        workload_id=manifest.workload_id(), prompt_root=root_of(prompts), texts_hash=to_hex(keccak(texts)),
        fixed_price=10, unit_price=3, max_price=10 + 3 * most, deadline=NOW_S + 60, salt=1,
    )  # fmt: skip
    offer = Offer(manifest.workload_id(), manifest, 10, 3, 4096)

    def check(signed: Terms) -> bytes:
        pack_prompts = partial(prompts_of, manifest, tokenizer=tokenizer)
        return check_terms(signed, texts, offer, pack_prompts=pack_prompts, now_s=NOW_S, constants=DEVELOPMENT)

    assert check(terms) == prompts
    with pytest.raises(PriceTooLow, match="max_price"):
        check(terms.model_copy(update={"max_price": terms.max_price - 1}))
    return Order(requester=Signer(keccak(b"requester")).address, spend_cap=terms.max_price, terms=terms)


def test_a_file_that_says_too_little_is_named(contributed: Path) -> None:
    """Protects contributors: what a kind's file must export is told with the file's name."""
    (contributed / "halfway.py").write_text("MODELS = {}\nTEMPLATE = {}\n")
    with pytest.raises(UnknownKind, match=r"halfway\.py does not say ENGINE"):
        kinds.find("halfway")
    sys.modules.pop("node_agent.execution.kinds.halfway", None)
