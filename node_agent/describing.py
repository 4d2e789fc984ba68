"""Describes a model of the store as a workload's manifest does, out of the model's own files."""

from contextlib import closing

from contracts.protocol.manifest import EXACT_ENGINE
from node_agent.execution.chat import CHAT_FILES, ChatSettings
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.kinds import Kind
from node_agent.execution.model_files import CHAT, Stored
from node_agent.execution.sandbox import Executor
from node_agent.models import ModelStore


def describe(store: ModelStore, name: str, kind: Kind, settings: ChatSettings = ChatSettings()) -> Stored:
    """A model file for work of a kind: its root, its sizes, and its own wording.

    Args:
        store: has the model.
        name: in its index, or the weights' sha256.
        kind: by the exact engine; one that generates takes the model's chat template.
        settings: of the chat.

    Raises ModelUnavailable where it is not in the store, UnsupportedModel for what this kind cannot use.
    """
    if kind.needs_torch or kind.engine.name != EXACT_ENGINE:
        raise UnsupportedModel(
            f"Work of the kind {kind.name} is not done by the engine {EXACT_ENGINE}, whose files `build` makes.",
            way_out="Name one of the kind's own models, without settings of a chat.",
        )
    files = store.load(name)
    chat = files.weights.parent / CHAT if kind.template["meter"] == "new_tokens" else None
    if chat is None and settings != ChatSettings():
        raise UnsupportedModel(
            f"Work of the kind {kind.name} is no chat.", way_out="Leave --system, --date and --set out."
        )
    if chat is not None and not chat.is_file():
        raise UnsupportedModel(
            f"The files that {name} was made of have no chat template.",
            way_out=f"Use an instruction-tuned model, with its {' or '.join(CHAT_FILES[:2])}, and build it again.",
        )
    with closing(Executor(store.root)) as executor:
        wording = executor.word(files.tokenizer, files.tokenizer_sha256, chat, settings)
        sizes = executor.sizes_of(files.weights, kind.name)
    named = files.weights_sha256, files.tokenizer_sha256
    return Stored(*named, sizes.root, wording, sizes.positions, sizes.vocab_size)
