"""Writes the golden vectors of the public record: how lines are split, and what log and chain lead to.

`stories.json` holds invented networks: the chain's events, the published files and blobs, and what every reader must
derive from them: each row's sample, each operator's standing, each leaf's outcome.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from contracts.onchain.events import Event
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.log import (
    CommitmentEntry,
    LogEntry,
    ObservationEntry,
    OrderEntry,
    RowEntry,
    TraceEntry,
    VerdictEntry,
    WorkloadEntry,
    dump_line,
    log_root,
)
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.native.calibrated import read
from contracts.protocol.native.fingerprint import PROJECTIONS, NativeOpening
from contracts.protocol.native.observation import Observation, observed_opening
from contracts.protocol.packing import Epoch, LaneGroup, SkipReason, bits, pack, unpack
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import COMPARATORS, Commitment, Order, Params, Terms, Verdict
from contracts.protocol.rulings import Ruling
from contracts.protocol.signing import Signer
from contracts.protocol.trace import trace_hash_of
from contracts.protocol.typed_data import Domain, answer_commit, trace_commit
from contracts.record.history import DATED, History
from contracts.record.log_book import LogBook, LogFacts, read_epoch
from contracts.record.log_source import split_lines
from contracts.record.outcome import outcome_in
from contracts.record.sample import Sample, seed_of
from contracts.record.standings import Standings
from contracts.vectors.make import FOLDER, Maker

STORIES, EPOCHS, TOKENS, EPOCH_S = 6, 6, 8, 40
OPERATORS, VERIFIERS = (1, 2, 3), (7, 8, 9)
CONSTANTS = ("check_wait_s", "seed_blocks", "penalty_multiple", "min_verifier_stake_units", "settle_wait_s", "fee_bps")
_PAIR = min(
    (each for each in read() if each.node_class != each.verifier_class), key=lambda each: each.distance.mean_ppm
)
FILES = {
    "no line": b"",
    "one line": b"a\n",
    "no last line feed": b"a\nb",
    "an empty line": b"\n",
    "an empty line between": b"a\n\nb\n",
    "two line feeds at the end": b"a\n\n",
    "CRLF": b"a\r\nb\r\n",
    "CR alone": b"a\rb\n",
    "CRLF without the last line feed": b"a\r\nb\r",
    "what other rules split at": "a\u2028b\u0085c\x0bd\x0ce\x1cf\n".encode(),
    "a zero byte": b"a\0b\n",
    "no text at all": bytes(range(256)),
}


def log_lines() -> dict[str, list[Any]]:
    """Files, as everybody splits them, and the root of their lines."""
    split = {name: split_lines(data) for name, data in FILES.items()}
    return {
        "name": list(FILES),
        "file": [to_hex(data) for data in FILES.values()],
        "lines": [[to_hex(line) for line in lines] for lines in split.values()],
        "logRoot": [to_hex(log_root(lines)) for lines in split.values()],
    }


# ------------------------------------------------------------ a network that never was


class Story:
    """One network: epochs of jobs in exact and in native work, verdicts, traces, a case, settlements."""

    def __init__(self, seed: int) -> None:
        self.maker = Maker(seed)
        self.random = self.maker.random
        self.domain = Domain(31337, self.maker.address())
        self.requester, self.nodes = self._signer(), {operator: self._signer() for operator in OPERATORS}
        self.verifiers = {account: self._signer() for account in VERIFIERS}
        self.events: list[Event] = []
        self.times: dict[int, int] = {}
        self.files: dict[int, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.packed: dict[int, bytes] = {}
        self.rows: dict[int, list[Row]] = {}
        self._due: dict[int, list[LogEntry]] = {}
        self._published: set[str] = set()
        self._block = 0

    def _signer(self) -> Signer:
        return Signer(self.random.randbytes(32))

    def play(self) -> None:
        """From the first stake to the last settlement."""
        for account in OPERATORS + VERIFIERS:
            stake = self.random.choice([0, 500, 5_000]) if account in OPERATORS else 10**9 * account
            self.happen("Registered", id=account, owner=self.maker.address())
            self.happen("Staked", id=account, units=stake, stakeUnits=stake)
        for account, key in self.verifiers.items():
            self.happen("VerifierAdmitted", id=account, key=key.address)
        for operator, key in self.nodes.items():
            self.happen("NodeKeyAdded", id=operator, node=key.address)
        for epoch_id in range(1, EPOCHS + 1):
            self._post(epoch_id)
            if epoch_id in (2, 3):
                self._accuse(epoch_id)
            if epoch_id > 2:
                self._settle(epoch_id - 2)

    def happen(self, name: str, **args: Any) -> None:
        """An event in a block of its own."""
        self._block += 1
        tx_hash, block_hash = self.maker.bytes32(), self.block_hash(self._block)
        self.events.append(Event("any", name, args, self._block, block_hash, tx_hash, 0))

    @staticmethod
    def block_hash(number: int) -> bytes:
        """The hash of the block with this number."""
        return keccak(b"block %d" % number)

    def _post(self, epoch_id: int) -> None:
        entries = list(self._due.pop(epoch_id, []))
        self.rows[epoch_id] = []
        for _ in range(self.random.randint(0, 4)):
            entries += self._job(epoch_id)
        rows = self.rows[epoch_id]
        entries += [
            RowEntry(
                index=index, requester=row.requester, signer=row.signer, operator_id=row.operator_id,
                amount_units=row.amount_units, digest=to_hex(row.digest),
            )
            for index, row in enumerate(rows)
        ]  # fmt: skip
        lines = [dump_line(entry) for entry in entries]
        self.files[epoch_id] = b"".join(line + b"\n" for line in lines)
        root, logged = merkle_root([row.leaf() for row in rows]), log_root(lines)
        self.happen("EpochPosted", id=epoch_id, root=root, count=len(rows), beacon=self.maker.bytes32(), logRoot=logged)
        self.times[self._block] = 1_000 + EPOCH_S * epoch_id
        self._block += DEVELOPMENT.seed_blocks

    def _job(self, epoch_id: int) -> list[LogEntry]:
        operator, native = self.random.choice(OPERATORS), self.random.random() < 0.6
        manifest, node = _manifest(native), self.nodes[operator]
        params = Params(max_new_tokens=TOKENS)
        terms = Terms(
            workload_id=manifest.workload_id(), prompt_root=self.maker.hex32(), texts_hash=self.maker.hex32(),
            params=params,
            comparator=COMPARATORS[manifest.comparator], fixed_price=1, unit_price=2,
            max_price=self.random.randint(20, 300), deadline=5_000, salt=self.random.getrandbits(32),
        )  # fmt: skip
        order = Order(requester=self.requester.address, spend_cap=10_000, terms=terms)
        order_id, trace = self.domain.order_id(order), self._trace()
        hidden = trace_commit(trace_hash_of(trace), order_id, node.address)
        commitment = Commitment(
            order_id=to_hex(order_id), node=node.address, output_root=self.maker.hex32(), trace_commit=to_hex(hidden),
            units=TOKENS,
        )  # fmt: skip
        digest = self.domain.commitment_digest(commitment)
        row = Row(order.requester, self.requester.address, operator, amount_units(terms, TOKENS), digest)
        self.rows[epoch_id].append(row)
        if native:
            self._check(epoch_id, commitment, digest, trace)
        signed = self.requester.sign(order_id)
        entries: list[LogEntry] = [
            OrderEntry(order=order, signer=self.requester.address, signature=signed),
            CommitmentEntry(commitment=commitment, signature=node.sign(digest)),
        ]
        if terms.workload_id not in self._published:
            self._published.add(terms.workload_id)
            entries.insert(0, WorkloadEntry(manifest=manifest.model_dump(mode="json")))
        return entries

    def _trace(self) -> bytes:
        fingerprint = self.random.randbytes(PROJECTIONS * TOKENS)
        return NativeOpening(_PAIR.node_class, self.maker.bytes32(), fingerprint).encode()

    def _check(self, epoch_id: int, commitment: Commitment, digest: bytes, trace: bytes) -> None:
        """Adds verdicts one to three epochs later and the trace two or three later: some come too late to count."""
        for account in self.random.sample(VERIFIERS, self.random.randint(0, 2)):
            key, seen = self.verifiers[account], self._seen(trace)
            opening = observed_opening(seen, commitment)
            verdict = Verdict(
                commitment_digest=to_hex(digest), verifier=key.address,
                answer_commit=to_hex(answer_commit(opening, digest, key.address)),
            )  # fmt: skip
            signed = self.domain.verdict_digest(verdict)
            due = self._due.setdefault(epoch_id + self.random.randint(1, 3), [])
            due.append(VerdictEntry(epoch_id=epoch_id, verdict=verdict, signature=key.sign(signed), opening=opening))
            due.append(ObservationEntry(verdict_digest=to_hex(signed), observation=self._blob(seen)))
        shown = TraceEntry(commitment_digest=to_hex(digest), trace=self._blob(trace))
        self._due.setdefault(epoch_id + self.random.randint(2, 3), []).append(shown)

    def _seen(self, trace: bytes) -> bytes:
        """An honest observation, one of another model, or malformed bytes."""
        kind, fingerprint = self.random.choice("hhho?"), NativeOpening.decode(trace).fingerprint
        if kind == "?":
            return b"nonsense"
        if kind == "o":
            fingerprint = bytes((byte + 128) % 256 for byte in fingerprint)
        return Observation(_PAIR.verifier_class, fingerprint, (0,) * TOKENS, ended=True).encode()

    def _blob(self, data: bytes) -> str:
        name = to_hex(keccak(data))
        self.blobs[name] = data
        return name

    def _accuse(self, epoch_id: int) -> None:
        """Opens a case on an epoch's first row; executes it at once or leaves it open."""
        if not self.rows[epoch_id]:
            return
        row, case_id = self.rows[epoch_id][0], self.maker.bytes32()
        self.happen(
            "CaseOpened", caseId=case_id, epochId=epoch_id, index=0, operatorId=row.operator_id,
            commitmentDigest=row.digest, penaltyUnits=1,
        )  # fmt: skip
        ruling = self.random.choice(list(Ruling))
        if ruling is not Ruling.OPEN:
            self.happen("CaseExecuted", caseId=case_id, ruling=int(ruling))

    def _settle(self, epoch_id: int) -> None:
        """Pays the epoch with some rows void, or skips its lane and pays one row alone, or leaves it to strand."""
        rows, kind = self.rows[epoch_id], self.random.choice(["paid", "paid", "skipped", "stranded"])
        if not rows or kind == "stranded":
            return
        group = LaneGroup(self.requester.address, self.requester.address, None, tuple(rows))
        count, void = len(rows), frozenset(i for i in range(len(rows)) if self.random.random() < 0.2)
        skipped = range(count) if kind == "skipped" else range(0)
        if kind == "skipped":
            lane = {"requester": self.requester.address, "signer": self.requester.address}
            self.happen("LaneSkipped", id=epoch_id, reason=int(self.random.choice(list(SkipReason))), **lane)
        bitmaps = {"voidBits": bits(void, count), "skippedBits": bits(frozenset(skipped), count)}
        self.happen("EpochSettled", id=epoch_id, chargedUnits=0, feeUnits=0, **bitmaps)
        self.times[self._block] = 1_000 + EPOCH_S * (epoch_id + 2)
        self.packed[epoch_id] = pack(Epoch((group,), void))
        if kind == "skipped":
            alone = {"amountUnits": rows[0].amount_units, "feeUnits": rows[0].amount_units // 10}
            self.happen("LeafSettled", epochId=epoch_id, index=0, **alone)

    # ------------------------------------------------------------ as readers see it

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        """See LogSource."""
        return split_lines(self.files[epoch_id])

    def blob(self, blob_hash: str) -> bytes:
        """See LogSource."""
        return self.blobs[blob_hash]


def _manifest(native: bool) -> Manifest:
    deterrence = {"honest_cost_ppm": 700_000, "cheat_cost_ppm": 100_000, "detection_ppm": 990_000}
    return Manifest.model_validate(
        {
            "kind": "generation", "unit": "completion token", "meter": "new_tokens", "model": "story",
            "weights_sha256": _PAIR.weights_sha256, "tokenizer_sha256": "11" * 32, "engine_version": "1",
            "comparator": "native" if native else "exact", "numeric_class": None if native else "22" * 32,
            "params": {"max_new_tokens": {"minimum": 1, "maximum": 64, "default": 32}},
            "input": {"max_texts": 8, "max_bytes": 1000, "max_tokens": 1000}, "check_price_units": 1,
            "deterrence": deterrence | {"collusion_ppm": 100_000, "false_alarm_ppm": 1_000},
        }
    )  # fmt: skip


# ------------------------------------------------------------ written down


def told(story: Story) -> dict[str, Any]:
    """A story and what follows from it, as written to the file."""
    history = History()
    history.add(story.events, story.times)
    book = LogBook(story.domain)
    for epoch_id, posted in sorted(history.epochs.items()):
        read_epoch(book, posted, story.epoch_lines(epoch_id))
    return {
        "domain": {"chain_id": story.domain.chain_id, "escrow": story.domain.verifying_contract},
        "constants": {name: getattr(DEVELOPMENT, name) for name in CONSTANTS},
        "events": [_event(event, story.times) for event in story.events],
        "files": {str(epoch_id): data.decode() for epoch_id, data in story.files.items()},
        "blobs": {name: to_hex(data) for name, data in story.blobs.items()},
        "packed": {str(epoch_id): to_hex(data) for epoch_id, data in story.packed.items()},
    } | follows(story.domain, history, book, LogFacts(book, story), story.packed)


def _event(event: Event, times: dict[int, int]) -> dict[str, Any]:
    args = {name: to_hex(value) if isinstance(value, bytes) else value for name, value in event.args.items()}
    found: dict[str, Any] = {"name": event.name, "args": args, "block": event.block_number}
    found |= {"tx": to_hex(event.tx_hash)}
    return found | ({"timestamp": times[event.block_number]} if event.name in DATED else {})


def follows(
    domain: Domain, history: History, book: LogBook, facts: LogFacts, packed: dict[int, bytes]
) -> dict[str, Any]:
    """Samples of the revealed epochs, standings before each epoch, outcomes of all leaves."""
    standings = Standings()
    sample = Sample(history, facts, DEVELOPMENT, standings)
    at = partial(standings.at, facts)
    return {
        "samples": [row for epoch_id in history.epochs for row in _drawn(history, sample, at, epoch_id)],
        "standings": [
            {"operatorId": operator, "epoch": epoch_id, "state": str(found.state), "leastRatePpm": found.least_rate_ppm,
             "checks": found.checks, "suspect": found.suspect}
            for operator in OPERATORS for epoch_id in range(1, EPOCHS + 2) for found in [at(operator, epoch_id)]
        ],
        "outcomes": [one for epoch_id in history.epochs for one in _outcomes(history, book, packed, epoch_id)],
    }  # fmt: skip


def _drawn(history: History, sample: Sample, at: Callable[[int, int], Any], epoch_id: int) -> list[dict[str, Any]]:
    seed = seed_of(history, DEVELOPMENT, epoch_id, Story.block_hash)
    if seed is None:
        return []
    block, minimum = history.epochs[epoch_id].block_number, DEVELOPMENT.min_verifier_stake_units
    return [
        {
            "epoch": epoch_id, "index": drawn.row.index, "digest": to_hex(drawn.row.digest), "seed": to_hex(seed),
            "operatorId": drawn.row.operator_id, "native": drawn.row.manifest.comparator == "native",
            "stakeUnits": history.stake_at(drawn.row.operator_id, block),
            "exposureUnits": sample.exposure_units(epoch_id, drawn.row.operator_id),
            "suspected": history.is_suspected_at(drawn.row.operator_id, block),
            "verifiers": {str(key): str(s) for key, s in
                          history.verifiers_for(drawn.row.operator_id, block, minimum).items()},
            "threshold": to_hex(drawn.threshold.to_bytes(33, "big")), "sampled": drawn.sampled,
            "duty": list(drawn.duty),
        }
        for drawn in sample.draw(epoch_id, seed)
    ]  # fmt: skip


def _outcomes(history: History, book: LogBook, packed: dict[int, bytes], epoch_id: int) -> list[dict[str, Any]]:
    found, count = [], history.epochs[epoch_id].count
    epoch = unpack(packed[epoch_id], count) if epoch_id in packed else None
    early, late = 1_000 + EPOCH_S * EPOCHS, 1_000 + EPOCH_S * EPOCHS + DEVELOPMENT.settle_wait_s
    for index, row in enumerate(book.epochs[epoch_id].leaves):
        for now_s in (early, late + EPOCH_S):
            one = outcome_in(history, DEVELOPMENT, (epoch_id, index), row.operator_id, epoch, now_s)
            reason = None if one.skipped_for is None else int(one.skipped_for)
            found.append(
                {"epoch": epoch_id, "index": index, "nowS": now_s, "code": one.code, "tx": one.tx,
                 "grossUnits": one.gross_units, "feeUnits": one.fee_units, "skippedFor": reason}
            )  # fmt: skip
    return found


def stories() -> list[dict[str, Any]]:
    """Plays every story; returns what the file holds of each."""
    found = []
    for seed in range(STORIES):
        story = Story(seed)
        story.play()
        found.append(told(story))
    return found


MADE: dict[str, Callable[[], Any]] = {"log_lines": log_lines, "stories": stories}


def render(name: str) -> str:
    """The text of one file."""
    return json.dumps({name: MADE[name]()}, separators=(",", ":")).replace('{"domain"', '\n{"domain"') + "\n"


if __name__ == "__main__":
    for name in MADE:
        (FOLDER / f"{name}.json").write_text(render(name))
