"""`python compiled.py CAPABILITY`: compiles every kernel that some models start for an NVIDIA GPU, which need not be
there, and prints what each became, as JSON lines."""

import json
import re
import sys
from dataclasses import replace
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction, mangle_type

from bench.gpu.models import SMOLLM2
from node_agent.execution.exact import golden
from node_agent.execution.exact.fused.products import TritonProducts
from node_agent.execution.exact.fused.ways import FusedWay

SEEN: set[str] = set()


def compile_instead(kernel: Any, *given: Any, grid: Any, warmup: bool, num_warps: int = 4) -> None:
    """Stands in for the start of a kernel. Like Triton, takes 1 for a constant and tells what 16 divides."""
    signature, constants, facts = {}, {}, {}
    for index, (parameter, value) in enumerate(zip(kernel.params, given, strict=True)):
        fixed = parameter.is_constexpr or (isinstance(value, int) and value == 1)
        signature[parameter.name] = "constexpr" if fixed else mangle_type(value)
        if fixed:
            constants[parameter.name] = value
        elif (value.data_ptr() if isinstance(value, torch.Tensor) else value) % 16 == 0:
            facts[(index,)] = [["tt.divisibility", 16]]
    key = f"{kernel.__name__} {signature} {constants} {facts}"
    if key in SEEN:
        return
    SEEN.add(key)
    source = ASTSource(kernel, signature, constants, facts)
    made = triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options={"num_warps": num_warps})
    ptx = made.asm["ptx"]
    found = {
        "kernel": kernel.__name__,
        "floats": sorted(set(re.findall(r"^\s+(?:@\S+ )?(\S*\.(?:f16|bf16|tf32|f32|f64)\S*)\s", ptx, re.MULTILINE))),
        "products": sorted(set(re.findall(r"(?:mma|dp4a)\S*\.s32\S*", ptx))),
        "shared_bytes": made.metadata.shared,
        "code_bytes": len(made.asm["cubin"]),
    }
    sys.stdout.write(json.dumps(found) + "\n")


JITFunction.run = compile_instead
way = FusedWay(TritonProducts(), torch.device("cpu"))
with torch.inference_mode():
    one_layer = golden.fixed_llama(replace(SMOLLM2, vocab_size=64, num_hidden_layers=1), 34)
    for parameters, rows in ((one_layer, 1), (golden.golden_family(), 20)):
        model = way.llama(parameters)
        model.logits(model.forward([(range(rows), model.new_cache(32))]))
