"""The tensors of a published model by their Hugging Face names, each checked as it is taken."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from node_agent.execution.published import LlamaConfig, unsupported


@dataclass
class LlamaLayer:
    """One block's weights; products of the same input are fused, matrices are (out, in) as published."""

    attention_norm: Tensor  # (C,)
    qkv: Tensor  # ((H + 2K) D, C)
    attention_out: Tensor  # (C, H D)
    mlp_norm: Tensor  # (C,)
    gate_up: Tensor  # (2F, C)
    down: Tensor  # (C, F)


class StateReader:
    """Takes tensors by name, checked for shape and type, cast and moved to a device.

    Args:
        names: of all tensors.
        tensor: returns the tensor of a name.
        device, dtype: of the returned copies.
        published: types that a tensor may have.
    """

    def __init__(
        self, names: Collection[str], tensor: Callable[[str], Tensor], device: torch.device,
        dtype: torch.dtype = torch.float32, published: Collection[torch.dtype] = (torch.float32,),
    ) -> None:  # fmt: skip
        self._names, self._tensor, self._device, self._dtype = names, tensor, device, dtype
        self._published = published

    def __call__(self, name: str, *shape: int) -> Tensor:
        """One tensor. Raises UnsupportedModel where it is missing or has another shape or type."""
        if name not in self._names:
            raise unsupported(f"the weights lack {name}.", "missing", name)
        tensor = self._tensor(name)
        if tuple(tensor.shape) != shape or tensor.dtype not in self._published:
            found, wanted = f"{tuple(tensor.shape)} {tensor.dtype}", " or ".join(map(str, self._published))
            raise unsupported(f"{name} is {found}, but {shape} {wanted} is required.", name, found)
        return tensor.to(self._device, self._dtype, copy=True)

    def llama_layer(self, c: LlamaConfig, index: int) -> LlamaLayer:
        """One block of a Llama. Raises UnsupportedModel."""
        width, inner, prefix = c.hidden_size, c.intermediate_size, f"model.layers.{index}."
        query, shared = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim

        def fused(part: str, **rows: int) -> Tensor:
            return torch.cat([self(f"{prefix}{part}.{name}_proj.weight", n, width) for name, n in rows.items()])

        return LlamaLayer(
            attention_norm=self(prefix + "input_layernorm.weight", width),
            qkv=fused("self_attn", q=query, k=shared, v=shared),
            attention_out=self(prefix + "self_attn.o_proj.weight", width, query),
            mlp_norm=self(prefix + "post_attention_layernorm.weight", width),
            gate_up=fused("mlp", gate=inner, up=inner),
            down=self(prefix + "mlp.down_proj.weight", width, inner),
        )
