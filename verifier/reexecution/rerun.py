"""Runs a settled job again on this machine and compares it with what was paid for."""

import time
from collections.abc import Sequence
from itertools import zip_longest
from statistics import median

from pydantic import BaseModel, computed_field

from contracts.onchain.chain import Chain
from contracts.protocol.errors import BadFingerprint, NotPacked
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.native import Finding, Judgement, examine, judge
from contracts.protocol.native.fingerprint import NativeOpening
from contracts.protocol.packed import packed_root, unpack
from contracts.protocol.records import Opening
from contracts.protocol.typed_data import differences, trace_commit
from contracts.record.history import read_history
from contracts.record.log_book import LogBook, PaidJob, read_epoch
from contracts.record.log_source import LogSource, claimed_output, published_lines, shown_trace
from contracts.record.row_checks import check_job, check_prompts
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.exact import trace
from verifier.errors import JobUnknown
from verifier.reexecution.engines import Engines

LATEST = "latest"


class Seen(BaseModel):
    """This machine's observation of native work, and a verifier's judgement of it (`contracts.protocol.native`).

    `node_class`: from the node's trace; None if that is malformed. `calibrated`: whether there are thresholds for the
    two classes. `distance`: the median over the tokens, in steps, 0 to 256: noise is near 0, another model near 128.
    """

    node_class: str | None
    own_class: str
    calibrated: bool
    distance: int
    judgement: Judgement


class Rerun(BaseModel):
    """A job that was run again. `opening` and `trace_commit` are this machine's.

    `same`: whether trace, output and units are what the node signed. `differs_in`: which of the three are not.
    `first_difference`: where the outputs first differ ("text 0, token 17"). `trace_difference`: where the traces first
    differ ("text 0, tokens 16 to 31"), which may be earlier. Both are None if equal or if the node's is not published.
    `seen`: for native work that differs, once the node has shown its trace; until then `unshown` is True.
    """

    order_id: str
    epoch_id: int
    row: int
    node: str
    kind: str
    model: str
    engine: str
    same: bool
    differs_in: list[str]
    first_difference: str | None
    trace_difference: str | None
    seen: Seen | None = None
    unshown: bool = False
    signed_trace_commit: str
    trace_commit: str
    opening: Opening
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def confirmed(self) -> bool:
        """Whether the bits are the same, or the floats within the thresholds of the two classes."""
        return self.same or (self.seen is not None and self.seen.judgement.finding is Finding.ACCEPT)


def find_settled(chain: Chain, source: LogSource, order_ids: Sequence[str]) -> list[PaidJob]:
    """The jobs of orders, with all their records checked. LATEST is the order of the newest row.

    Raises JobUnknown; LogUnavailable, WrongLog or WrongFact if the published log contradicts the chain.
    """
    history, book = read_history(chain, chain.head().number), LogBook(chain.deployment.domain)
    found: dict[str, PaidJob] = {}
    for _, posted in sorted(history.epochs.items()):
        read_epoch(book, posted, published_lines(source, posted))
    for epoch_id in sorted(history.epochs):
        found |= {job.commitment.commitment.order_id: job for job in book.jobs(epoch_id)}
    order_ids = [next(reversed(found), LATEST) if order_id == LATEST else order_id for order_id in order_ids]
    unknown = [order_id for order_id in order_ids if order_id not in found]
    if unknown:
        raise JobUnknown(unknown[0])
    for order_id in order_ids:
        check_job(chain.deployment.domain, found[order_id], history.node_keys)
    return [found[order_id] for order_id in order_ids]


def rerun(job: PaidJob, source: LogSource, engines: Engines) -> Rerun:
    """Runs it.

    Raises LogUnavailable if its input is not published, WrongLog or WrongFact for a wrong input or trace, and
    ExecutionError if this machine cannot run it.
    """
    commitment = job.commitment.commitment
    prompts, claimed = source.blob(job.order.order.terms.prompt_root), claimed_output(source, commitment)
    check_prompts(job, prompts)
    shown = shown_trace(source, commitment, job.trace.trace if job.trace else None)
    engine = engines.get(job.manifest)
    started = time.monotonic()
    run = engine.recheck(prompts, job.params, claimed)
    seconds = round(time.monotonic() - started, 3)
    opening = Opening(trace_hash=to_hex(run.trace_hash), output_root=to_hex(packed_root(run.output)), units=run.units)
    differing, generates = differences(opening, commitment), job.manifest.meter == "new_tokens"
    return Rerun(
        order_id=commitment.order_id, epoch_id=job.epoch_id, row=job.row.index, node=commitment.node,
        kind=job.manifest.kind, model=job.manifest.model, engine=f"{engine.name} {engine.version}", same=not differing,
        differs_in=differing,
        first_difference=first_difference(claimed, run.output, "token" if generates else "number"),
        trace_difference=None if job.is_native else trace_difference(shown, run, "token" if generates else "row"),
        unshown=job.is_native and bool(differing) and not shown,
        seen=_seen(job, engine, prompts, claimed, shown) if job.is_native and differing and shown else None,
        signed_trace_commit=commitment.trace_commit,
        trace_commit=to_hex(trace_commit(run.trace_hash, from_hex(commitment.order_id), commitment.node)),
        opening=opening, seconds=seconds,
    )  # fmt: skip


def _seen(job: PaidJob, engine: Engine, prompts: bytes, claimed: bytes, shown: bytes) -> Seen:
    assert engine.numeric_class is not None, "a native engine has a class"
    observation, units = engine.observe(prompts, job.params, claimed), job.commitment.commitment.units
    check = examine(job.manifest.weights_sha256, "this machine", shown, observation, units)
    return Seen(
        node_class=_shown_class(shown),
        own_class=engine.numeric_class,
        calibrated=check.thresholds is not None,
        distance=int(median(check.evidence.distances or (0,))),
        judgement=judge(check.evidence, check.thresholds),
    )


def _shown_class(shown: bytes) -> str | None:
    try:
        return NativeOpening.decode(shown).numeric_class
    except BadFingerprint:
        return None


def first_difference(claimed: bytes, output: bytes, word: str = "token") -> str | None:
    """Where two outputs first differ, in words; None if they are equal or nothing is claimed. `word`: their items."""
    if claimed in (b"", output):
        return None
    try:
        texts = enumerate(zip_longest(unpack(claimed), unpack(output)))
    except NotPacked:
        return "the node's output is malformed"
    for text, (theirs, ours) in texts:
        if theirs is None or ours is None:
            return f"text {text}"
        differing = (place for place, (one, other) in enumerate(zip_longest(theirs, ours)) if one != other)
        if (place := next(differing, None)) is not None:
            return f"text {text}, {word} {place}"
    return None


def trace_difference(shown: bytes, run: Execution, word: str = "token") -> str | None:
    """Where the node's trace and this machine's first differ; None if they are equal or one is missing."""
    found = trace.first_difference(shown, run.trace) if shown and run.trace else None
    if found is None:
        return None
    text, rows = found
    return f"text {text}, {word}s {rows[0]} to {rows[-1]}"
