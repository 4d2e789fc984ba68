"""What a cheat does to a model: rounds its weights to fewer bits, or leaves a layer out. In place, in fp32 or bf16."""

from collections.abc import Iterator

from torch import Tensor

from node_agent.execution.native.model import NativeLlama


def round_weights(model: NativeLlama, bits: int, group: int | None = None) -> None:
    """Round every block's products to a symmetric grid of `bits` bits, one scale an output channel or `group` inputs.

    Embedding and head stay, as quantised deployments leave them.
    """
    for weight in _products(model):
        weight.copy_(rounded(weight.float(), bits, group))


def rounded(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """The (out, in) weight on its grid: scale = max|w| / (2^(bits-1) - 1)."""
    top = 2 ** (bits - 1) - 1
    parts = weight.reshape(weight.shape[0], -1, group or weight.shape[1])  # (out, groups, inputs)
    scale = parts.abs().amax(-1, keepdim=True).clamp_min(1e-12) / top
    return ((parts / scale).round().clamp(-top, top) * scale).reshape(weight.shape)


def drop_layer(model: NativeLlama, index: int) -> None:
    """Leave one block out."""
    del model.layers[index]


def _products(model: NativeLlama) -> Iterator[Tensor]:
    for layer in model.layers:
        yield from (layer.qkv, layer.attention_out, layer.gate_up, layer.down)
