"""All ways of a GPU: torch's, and the fused kernels where Triton is installed. Each is tried; none is preferred."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from subprocess import CalledProcessError

import torch

from node_agent.execution.exact import golden
from node_agent.execution.exact.eager import ways as eager
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.ways import Sound, tried


@dataclass(frozen=True)
class FusedWay(eager.EagerWay):
    """See `port.Way`: Llamas by the fused kernels, encoders by torch with Triton's product."""

    @property
    def name(self) -> str:
        graphs = "" if self.device.type != "cuda" else " with graphs" if self.products.graphs else " without graphs"
        return f"triton on {self.device}{graphs}"

    def llama(self, parameters: Parameters) -> EagerLlama:
        from node_agent.execution.exact.fused.llama import FusedLlama

        return FusedLlama(parameters, self.products, self.device)


def ways_of(device: str) -> Sequence[FusedWay]:
    """The fused kernels by graphs and without. Raises ImportError where Triton is not installed."""
    from node_agent.execution.exact.fused.products import TritonProducts

    return [FusedWay(TritonProducts(graphs), torch.device(device)) for graphs in (True, False)]


@cache
def sound_ways(device: str) -> Sound:
    """Tries every way of a GPU, once a process."""
    torchs = eager.sound_ways(device)
    if find_spec("triton") is None:
        return Sound(torchs.ways, {**torchs.unsound, f"triton on {device}": "Triton is not installed."})
    fused = tried(ways_of(device), require_sound)
    return Sound((*torchs.ways, *fused.ways), {**torchs.unsound, **fused.unsound})


@torch.inference_mode()
def require_sound(way: FusedWay) -> None:
    """Raises SelfTestFailed where a kernel gives a wrong number, RuntimeError where it cannot be compiled."""
    from triton.errors import TritonError

    from node_agent.execution.exact.fused.products import square_roots

    try:
        golden.require_square_roots(way.name, lambda squares: square_roots(squares, way.device))
        eager.require_sound(way)
    except (TritonError, CalledProcessError) as error:
        raise RuntimeError(f"Triton cannot compile the kernels for {way.device}: {error}") from error
