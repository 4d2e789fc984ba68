"""The base of `torch-float` engines: float inference in fp32, one text at a time, checked by running it again.

A kind of work (`node_agent.execution.kinds`) subclasses `FloatEngine` and answers one text. The base class checks that
files, version and numeric class are the manifest's, that the host passes its self-test, and that texts and parameters
are within the manifest's limits. It computes the texts of an input one after the other, so no text can change a bit of
another's answer, and nothing is padded or cut off.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from node_agent.devices import numeric_class, self_test
from node_agent.devices.gpu import resolve
from node_agent.execution import determinism
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.errors import NumericClassMismatch, SelfTestFailed
from node_agent.execution.limits import (
    read_prompts,
    require_described,
    require_named,
    require_params,
    require_positions,
    require_showable,
)
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.trace import Trace

_SELF_TEST_TOKENS = 16


class FloatEngine(Engine, ABC):
    """See `engine.Engine`. One instance serves one workload on one device; calls must not overlap in a process.

    Attributes:
        version: of the kind's engine; it changes whenever the same call could give other bytes.
        meter, params: what its workloads meter, and the parameters that they have.
        model: see `read`; `model.layers` is its list of blocks.
    """

    name: str = "torch-float"
    version: str = "2"
    check: Check = "regenerate"
    pinned: bool = True
    concurrent: bool = False
    meter: ClassVar[str]
    params: ClassVar[Collection[str]] = ()

    def __init__(self, model: Any, manifest: Manifest) -> None:
        """Assemble from parts; `load` is the way in that verifies them. Raises EngineMismatch, UnsupportedModel."""
        self.model, self.manifest = model, manifest
        require_described(manifest, self.params, meter=self.meter)
        require_positions(manifest, model.config.max_position_embeddings)

    @staticmethod
    @abstractmethod
    def read(weights: Path, config: Path, device: torch.device) -> Any:
        """The model of two files, on a device. Raises UnsupportedModel, UnsafeModelFormat."""

    @abstractmethod
    def answer(self, prompt: list[int], params: Mapping[str, int], trace: Trace) -> list[int]:
        """Compute one text. Returns its answer: token ids, or int32 numbers.

        Args:
            prompt: token ids, the template's included.
            params: within the manifest's ranges.
            trace: to be fed with everything that is computed on the way.
        """

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None, known: Speed | None = None) -> Self:
        """See `kinds.EngineType`. `known` is ignored, since there is only one way to compute."""
        where = resolve(device)
        cls._require_match(files, manifest, str(where))
        self_test.passed(str(where))
        engine = cls(cls.read(files.weights, files.config, where), manifest)
        engine.require_repetition()
        return engine

    @classmethod
    def _require_match(cls, files: ModelFiles, manifest: Manifest, device: str) -> None:
        described = {"engine": cls.name, "engine_version": cls.version, "check": cls.check}
        require_described(manifest, manifest.params, **described)
        require_named(files, manifest)
        here = numeric_class.current(device)
        if here.digest != manifest.numeric_class:
            raise NumericClassMismatch(
                f"The workload is of numeric class {manifest.numeric_class}, this host on {device} is {here.digest}.",
                way_out="Serve a workload of this host's class, or run on the hardware and versions of that class.",
                expected=manifest.numeric_class,
                found=here.digest,
                facts=here.facts,
            )

    @torch.inference_mode()
    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Answer every text of an input, one after the other.

        Errors as in `engine.Engine`, NumericFailure and OutputTooLong.
        """
        require_params(self.manifest.params, params)
        prompts = read_prompts(self.manifest.input, self.model.config.vocab_size, input_bytes)
        determinism.enforce()
        trace, answers = Trace(), []
        for prompt in prompts:
            trace.begin()
            answers.append(self.answer(prompt, params, trace))
        output = pack(answers)
        require_showable(output)
        units = self.manifest.units([len(prompt) for prompt in prompts], [len(answer) for answer in answers])
        return Execution(output=output, trace_hash=trace.digest(), units=units)

    def require_repetition(self) -> None:
        """This engine's own self-test, after the device's: the same input twice must give the same answer.

        Raises:
            SelfTestFailed: they differ; nothing that this host computes may be signed.
        """
        params = {name: allowed.minimum for name, allowed in self.manifest.params.items()}
        count = min(_SELF_TEST_TOKENS, self.manifest.input.max_tokens)
        prompt = pack([[7919 * place % self.model.config.vocab_size for place in range(count)]])
        first, second = (self.execute(prompt, params) for _ in range(2))
        if first != second:
            raise SelfTestFailed(
                f"The engine of {self.manifest.kind} answers the same input in two ways on this host.",
                way_out="Look for failing memory or overclocking. Until it passes, this host signs nothing.",
                check=f"repetition of {self.manifest.kind}",
                expected=first.trace_hash.hex(),
                found=second.trace_hash.hex(),
            )
