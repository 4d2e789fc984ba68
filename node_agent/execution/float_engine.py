"""What all `torch-float` engines share: plain float inference in fp32, one text at a time, checked by doing it again.

A kind of work (`node_agent.execution.kinds`) subclasses `FloatEngine` and says how one text is answered; the rest is
here: that files, version and numeric class are the manifest's, that the host passed its self-test, that texts and
parameters are within the manifest's limits, and that a batch is its texts one after the other. So no text can change
a bit of another's answer, and nothing is padded or cut off.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import torch

from contracts.protocol.canonical import canonical_json
from contracts.protocol.manifest import Manifest
from contracts.protocol.texts import encode_texts
from contracts.protocol.tokens import TextTokenizer
from node_agent.devices import numeric_class, self_test
from node_agent.devices.gpu import resolve
from node_agent.execution import determinism
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.errors import (
    EngineMismatch,
    NumericClassMismatch,
    SelfTestFailed,
)
from node_agent.execution.limits import read_tokens, require_named, require_params, require_showable
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.trace import Trace

_SELF_TEST = encode_texts(["2 + 2 = 4"])


class FloatEngine(Engine, ABC):
    """See `engine.Engine`. One instance serves one workload on one device; calls must not overlap in a process.

    Attributes:
        version: of a kind; it changes whenever the same call could give other bytes.
        overhead_tokens: what this engine puts around each text; the manifest's `input.overhead_tokens` must say so.
    """

    name: str = "torch-float"
    version: str = "1"
    check: Check = "regenerate"
    pinned: bool = True
    concurrent: bool = False

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer, *, overhead_tokens: int) -> None:
        """Keep what is needed for limits; `load` is the way in that verifies the parts.

        Raises:
            EngineMismatch: the manifest counts another overhead, so the backend would accept other texts.
        """
        if overhead_tokens != manifest.input.overhead_tokens:
            raise EngineMismatch(
                f"This engine puts {overhead_tokens} tokens around a text, the manifest says "
                f"{manifest.input.overhead_tokens}.",
                way_out="Correct input.overhead_tokens in the manifest; its workload id changes with it.",
                expected=overhead_tokens,
                found=manifest.input.overhead_tokens,
            )
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.overhead_tokens = overhead_tokens

    @classmethod
    @abstractmethod
    def build(cls, files: ModelFiles, manifest: Manifest, tokenizer: TextTokenizer, device: torch.device) -> Self:
        """Load the model. Files and manifest match already. Raises UnsupportedModel, UnsafeModelFormat."""

    @abstractmethod
    def answer(self, tokens: list[int], params: Mapping[str, int], trace: Trace) -> tuple[Any, int]:
        """Compute one text.

        Args:
            tokens: of the text alone.
            params: within the manifest's ranges.
            trace: takes everything that is computed on the way.

        Returns:
            The answer as a value of canonical JSON (integers and strings, no floats), and its units.
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
        tokenizer = TextTokenizer(files.tokenizer.read_bytes(), manifest.tokenizer_sha256)
        engine = cls.build(files, manifest, tokenizer, where)
        engine.require_repetition()
        return engine

    @classmethod
    def _require_match(cls, files: ModelFiles, manifest: Manifest, device: str) -> None:
        wanted, have = (manifest.engine, manifest.engine_version, manifest.check), (cls.name, cls.version, cls.check)
        if wanted != have:
            raise EngineMismatch(
                f"The workload wants engine, version and check {wanted}, this is {have}.",
                way_out="Install the release of Assay that carries that engine version.",
                expected=wanted,
                found=have,
            )
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
        texts = read_tokens(self.manifest.input, self.tokenizer, input_bytes)
        determinism.enforce()
        trace, answers, units = Trace(), [], 0
        for tokens in texts:
            trace.begin()
            value, used = self.answer(tokens, params, trace)
            answers.append(value)
            units += used
        output = canonical_json(answers)
        require_showable(output)
        return Execution(output=output, trace_hash=trace.digest(), units=units)

    def recheck(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> Execution:
        """See `engine.Engine`: the work again, since prefill and decode differ in the last bits."""
        return self.execute(input_bytes, params)

    def require_repetition(self) -> None:
        """This engine's own self-test, after the device's: the same input twice must give the same answer.

        Raises:
            SelfTestFailed: they differ; nothing that this host computes may be signed.
        """
        params = {name: allowed.minimum for name, allowed in self.manifest.params.items()}
        first, second = (self.execute(_SELF_TEST, params) for _ in range(2))
        if first != second:
            raise SelfTestFailed(
                f"The engine of {self.manifest.kind} answers the same input in two ways on this host.",
                way_out="Look for failing memory or overclocking. Until it passes, this host signs nothing.",
                check=f"repetition of {self.manifest.kind}",
                expected=first.trace_hash.hex(),
                found=second.trace_hash.hex(),
            )
