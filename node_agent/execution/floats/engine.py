"""What all `torch-float` engines share: plain float inference in fp32, one text at a time, checked by doing it again.

A kind of work (`node_agent.execution.kinds`) subclasses `FloatEngine` and says how one text is answered; the rest is
here: that files, version and numeric class are the manifest's, that the host passed its self-test, that texts and
parameters are within the manifest's limits, and that a batch is its texts one after the other. So no text can change
a bit of another's answer, and nothing is padded or cut off.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import torch

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from node_agent.devices import numeric_class, self_test
from node_agent.devices.gpu import resolve
from node_agent.execution import determinism
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.errors import NumericClassMismatch, SelfTestFailed
from node_agent.execution.limits import read_prompts, require_described, require_named, require_params, require_showable
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.trace import Trace

_SELF_TEST_TOKENS = 16


class FloatEngine(Engine, ABC):
    """See `engine.Engine`. One instance serves one workload on one device; calls must not overlap in a process.

    Attributes:
        version: of a kind; it changes whenever the same call could give other bytes.
        vocab_size: how many token ids the model knows.
    """

    name: str = "torch-float"
    version: str = "2"
    vocab_size: int
    check: Check = "regenerate"
    pinned: bool = True
    concurrent: bool = False

    def __init__(self, manifest: Manifest) -> None:
        """Keep what is needed for limits; `load` is the way in that verifies the parts."""
        self.manifest = manifest

    @classmethod
    @abstractmethod
    def build(cls, files: ModelFiles, manifest: Manifest, device: torch.device) -> Self:
        """Load the model. Files and manifest match already. Raises UnsupportedModel, UnsafeModelFormat."""

    @abstractmethod
    def answer(self, prompt: list[int], params: Mapping[str, int], trace: Trace) -> list[int]:
        """Compute one text, and return what answers it: token ids, or int32 numbers.

        Args:
            prompt: token ids, those around the text included.
            params: within the manifest's ranges.
            trace: takes everything that is computed on the way.
        """

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None, known: Speed | None = None) -> Self:
        """Load a model whose digests the store has verified.

        Args:
            files: from the model store.
            manifest: the workload to serve.
            device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.
            known: not looked at: there is one way to compute, and nobody measures it.

        Raises:
            EngineMismatch, ModelDigestMismatch, NumericClassMismatch: this host is not what the manifest describes.
            SelfTestFailed: this host computes wrongly; nothing that it computes may be signed.
            UnsafeModelFormat, UnsupportedModel: the files are not what this engine computes.
        """
        where = resolve(device)
        cls._require_match(files, manifest, str(where))
        self_test.passed(str(where))
        engine = cls.build(files, manifest, where)
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

        Errors as in `engine.Engine`, NumericFailure if the model breaks down, OutputTooLong if nobody could show it.
        """
        require_params(self.manifest.params, params)
        prompts = read_prompts(self.manifest.input, self.vocab_size, input_bytes)
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
        prompt = pack([[7919 * place % self.vocab_size for place in range(count)]])
        first, second = (self.execute(prompt, params) for _ in range(2))
        if first != second:
            raise SelfTestFailed(
                f"The engine of {self.manifest.kind} answers the same input in two ways on this host.",
                way_out="Look for failing memory or overclocking. Until it passes, this host signs nothing.",
                check=f"repetition of {self.manifest.kind}",
                expected=first.trace_hash.hex(),
                found=second.trace_hash.hex(),
            )
