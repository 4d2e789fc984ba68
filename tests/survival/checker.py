"""What must be true of a network at rest, whatever was done to it: from the chain, the log, databases and journals.

Reads SQLite files and calldata itself and shares nothing with the services but the protocol. After `Checker.check`:
every accepted order ended paid, void (or refunded) with an upheld case, or expired uncharged after its deadline; one
commitment an order, each in one row; no node sent two signatures for one order; each intent of the settler is one
mined transaction, and no other is; ledger = contracts = log to the unit; every wei held is owed to somebody.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.events import Event
from contracts.protocol.hashing import to_hex
from contracts.protocol.log import CommitmentEntry, LogEntry, OrderEntry, RowEntry, VerdictEntry, log_root, parse_line
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packed import is_named
from contracts.protocol.packing import from_bits, unpack

GUILTY = 3
"""SlashingCourt.Ruling.NODE_GUILTY."""


@dataclass
class Ends:
    """How the orders ended. `void`: with an upheld case, which voided the row or, opened later, refunded it."""

    paid: set[str] = field(default_factory=set)
    void: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Settled:
    """One row of a settled epoch, from its calldata."""

    place: tuple[int, int]
    row: Row
    is_void: bool


class Checker:
    """Over one deployment. `homes`: folders of nodes, `verifiers`: of verifiers, where their journals lie.

    `is_recovered`: the database was lost and made again: what it knew of its transactions went with it, and what was
    in no epoch, so journals may hold more than it does.
    """

    def __init__(
        self, chain: Chain, backend: Path, homes: Iterable[Path], verifiers: Iterable[Path], *, is_recovered: bool
    ) -> None:
        self._chain, self._home, self._is_recovered = chain, backend, is_recovered
        self._homes, self._verifiers = list(homes), list(verifiers)

    def check(self, acknowledged: set[str]) -> Ends:
        """Everything. `acknowledged`: the orders that requesters were told are accepted."""
        self._events = self._chain.events(self._chain.deployment.first_block, self._chain.head().number)
        self._settled = self._read_calldata()
        self._check_log()
        ends = self._ends(acknowledged)
        self._check_signatures()
        if not self._is_recovered:
            self._check_verdicts()
            self._check_transactions()
        self._check_money()
        self._check_blobs()
        return ends

    # ------------------------------------------------------------ reading

    def _of(self, name: str) -> list[Event]:
        return [event for event in self._events if event.name == name]

    def _read_calldata(self) -> dict[bytes, _Settled]:
        """Every settled row by its digest. Each epoch's rows give its posted root; no digest stands twice."""
        posted = {event.args["id"]: event.args for event in self._of("EpochPosted")}
        found: dict[bytes, _Settled] = {}
        for event in self._of("EpochSettled"):
            epoch_id, count = event.args["id"], posted[event.args["id"]]["count"]
            epoch = unpack(self._chain.packed_epoch(event.tx_hash), count)
            assert not from_bits(event.args["skippedBits"], count), f"epoch {epoch_id}: a lane was skipped"
            rows = epoch.rows
            assert merkle_root([row.leaf() for row in rows]) == posted[epoch_id]["root"]
            for index, row in enumerate(rows):
                assert row.digest not in found, f"{row.digest.hex()} stands in two rows"
                found[row.digest] = _Settled((epoch_id, index), row, index in epoch.void)
        settled = [event.args["id"] for event in self._of("EpochSettled")]
        assert len(settled) == len(set(settled)), "an epoch was settled twice"
        return found

    def _log(self) -> Iterator[tuple[int, list[bytes], list[LogEntry]]]:
        for event in self._of("EpochPosted"):
            epoch_id = event.args["id"]
            lines = (self._home / "log" / "epochs" / f"{epoch_id}.jsonl").read_bytes().splitlines()
            yield epoch_id, lines, [parse_line(line) for line in lines]

    def _check_log(self) -> None:
        """Each posted epoch's file has the posted roots; each order, commitment and row stands in it once."""
        posted = {event.args["id"]: event.args for event in self._of("EpochPosted")}
        self._logged: dict[str, CommitmentEntry] = {}
        orders: set[bytes] = set()
        digests: Counter[str] = Counter()
        for epoch_id, lines, entries in self._log():
            assert log_root(lines) == posted[epoch_id]["logRoot"], f"epoch {epoch_id}: logRoot"
            rows = [entry for entry in entries if isinstance(entry, RowEntry)]
            assert merkle_root([entry.row().leaf() for entry in rows]) == posted[epoch_id]["root"]
            digests.update(entry.digest for entry in rows)
            for entry in entries:
                if isinstance(entry, CommitmentEntry):
                    assert entry.commitment.order_id not in self._logged, "an order was delivered twice"
                    self._logged[entry.commitment.order_id] = entry
                elif isinstance(entry, OrderEntry):
                    order_id = self._chain.deployment.domain.order_id(entry.order)
                    assert order_id not in orders, "an order was published twice"
                    orders.add(order_id)
        assert set(digests.values()) <= {1}, "a digest stands in two rows of the log"
        self._rows = set(digests)

    # ------------------------------------------------------------ orders

    def _ends(self, acknowledged: set[str]) -> Ends:
        with _open(self._home / "assay.db") as db:
            orders = {row["order_id"]: row for row in db.execute('SELECT * FROM "order"')}
            commitments = {row["order_id"]: row for row in db.execute("SELECT * FROM commitment")}
            leases = list(db.execute("SELECT * FROM lease"))
        assert acknowledged <= orders.keys(), "an acknowledged order was forgotten"
        upheld, ends = self._upheld(), Ends()
        refunded = {(event.args["epochId"], event.args["index"]) for event in self._of("Refunded")}
        for order_id, order in orders.items():
            commitment = commitments.get(order_id)
            if commitment is None:
                held_until = max((row["expires"] for row in leases if row["order_id"] == order_id), default=0)
                over = max(order["deadline"], held_until)
                assert self._chain.head().timestamp > over, f"{order_id} is neither delivered nor expired"
                ends.expired.add(order_id)
                continue
            logged = self._logged[order_id]
            assert (logged.commitment.model_dump_json(), logged.signature) == (
                commitment["commitment_json"], commitment["signature"],
            )  # fmt: skip
            settled = self._settled[bytes.fromhex(commitment["digest"][2:])]
            assert settled.row.amount_units == int(commitment["amount"])
            assert settled.place in upheld or not settled.is_void, f"{order_id}: void, and no case upheld it"
            assert (settled.place in refunded) == (settled.place in upheld and not settled.is_void), order_id
            (ends.void if settled.place in upheld else ends.paid).add(order_id)
        assert self._logged.keys() == commitments.keys(), "delivered and rooted differ"
        assert len({row["digest"] for row in commitments.values()}) == len(commitments)
        return ends

    def _upheld(self) -> set[tuple[int, int]]:
        """The leaves whose node was ruled guilty."""
        opened = {event.args["caseId"]: event.args for event in self._of("CaseOpened")}
        executed = {event.args["caseId"]: event.args["ruling"] for event in self._of("CaseExecuted")}
        assert opened.keys() == executed.keys(), "a case was left open"
        return {(opened[c]["epochId"], opened[c]["index"]) for c, ruling in executed.items() if ruling == GUILTY}

    def _check_signatures(self) -> None:
        """Whatever a node ever sent for an order is the one answer in its journal, signed once."""
        with _open(self._home / "assay.db") as db:
            accepted = {row["order_id"]: row for row in db.execute("SELECT * FROM commitment")}
        for home in self._homes:
            with _open(home / "journal.sqlite") as db:
                answers = {row["order_id"]: row for row in db.execute("SELECT * FROM answers")}
            node = "0x" + json.loads((home / "node.json").read_text())["address"].lower().removeprefix("0x")
            sent: dict[str, set[tuple[str, str]]] = defaultdict(set)
            notes = home / "sent.jsonl"
            for line in notes.read_text().splitlines() if notes.exists() else ():
                one = json.loads(line)
                sent[one["commitment"]["order_id"]].add((json.dumps(one["commitment"]), one["signature"]))
            for order_id, signed in sent.items():
                kept = answers[order_id]
                assert signed == {(json.dumps(json.loads(kept["commitment_json"])), kept["signature"])}, order_id
            own = {order_id for order_id, row in accepted.items() if row["node"] == node}
            assert own <= sent.keys()
            for order_id in own:
                assert accepted[order_id]["signature"] == answers[order_id]["signature"]
            lost = [o for o, row in answers.items() if row["acknowledged_at"] is None and row["refusal"] is None]
            assert not lost, f"{home.name} never delivered {lost}"

    def _check_verdicts(self) -> None:
        """What the backend has of a verifier is what its journal has; each verdict is paid once at most."""
        with _open(self._home / "assay.db") as db:
            kept = {row["digest"]: row for row in db.execute("SELECT * FROM verdict")}
        journaled = set()
        for home in self._verifiers:
            with _open(home / "journal.sqlite") as db:
                for row in db.execute("SELECT submit, acknowledged FROM verdict"):
                    journaled.add(json.loads(row["submit"])["signature"])
                    assert row["acknowledged"], f"{home.name} never delivered {row['submit']}"
        assert {row["signature"] for row in kept.values()} == journaled
        logged = [e for _, _, entries in self._log() for e in entries if isinstance(e, VerdictEntry)]
        assert len(logged) == len({entry.signature for entry in logged}), "a verdict was published twice"

    # ------------------------------------------------------------ transactions

    def _check_transactions(self) -> None:
        """The settler's mined transactions are its intents, one each, and all of them attempts that it wrote down."""
        with _open(self._home / "assay.db") as db:
            intents = {row["key"]: row for row in db.execute("SELECT * FROM tx_intent")}
            attempts = {row["tx_hash"]: row["key"] for row in db.execute("SELECT * FROM tx_attempt")}
            receipts = {row["key"]: row for row in db.execute("SELECT * FROM tx_receipt")}
        settler = self._chain.deployment.settler
        mined = []
        for number in range(self._chain.deployment.first_block, self._chain.head().number + 1):
            block: Any = self._chain.w3.eth.get_block(number, full_transactions=True)
            mined += [to_hex(tx["hash"]) for tx in block["transactions"] if tx["from"].lower() == settler]
        assert set(mined) <= attempts.keys(), "an orphan transaction"
        assert sorted(attempts[tx_hash] for tx_hash in mined) == sorted(intents), "an intent happened twice, or never"
        assert receipts.keys() == intents.keys(), "an intent without an end"
        assert {row["tx_hash"] for row in receipts.values()} == set(mined)
        assert len(mined) == self._chain.w3.eth.get_transaction_count(to_checksum_address(settler))

    # ------------------------------------------------------------ money

    def _check_money(self) -> None:
        """A fold of our own over events and calldata = the contracts' views = the ledger = the tokens held."""
        books = self._fold()
        with _open(self._home / "assay.db") as db:
            ledger: Counter[str] = Counter()
            events: Counter[tuple[int, int, int]] = Counter()
            for row in db.execute("SELECT * FROM ledger_entry"):
                ledger[row["account"]] += int(row["amount"])
                events[row["block_number"], row["log_index"], row["reversal"]] += int(row["amount"])
        assert not any(events.values()), "a posting does not sum to zero"
        inside = {name: units for name, units in ledger.items() if name not in ("outside", "sink", "slashed") and units}
        assert inside == {name: units for name, units in books.items() if units}
        for name, units in books.items():
            assert units == self._on_chain(name), name
        unit = self._chain.deployment.constants.unit_wei
        staked = sum(u for name, u in books.items() if name in ("rewards", "sunk") or name.startswith("stake:"))
        assert self._chain.balance_wei(self._chain.deployment.escrow) == (sum(books.values()) - staked) * unit
        assert self._chain.balance_wei(self._chain.deployment.stake_manager) == staked * unit

    def _fold(self) -> dict[str, int]:
        """Account -> units, from what the chain says happened."""
        books: dict[str, int] = defaultdict(int)
        for event in self._events:
            a = event.args
            if event.name in ("Deposited", "Refunded"):
                books[f"lane:{a['requester']}:{a['signer']}"] += a["units"]
            elif event.name == "SettlerBonded":
                books["bond"] += a["units"]
            elif event.name in ("Staked", "Rewarded"):
                books[f"stake:{a['id']}"] += a["units"]
                books["rewards"] -= a["units"] if event.name == "Rewarded" else 0
            elif event.name == "Slashed":
                books[f"stake:{a['id']}"] -= a["units"]
                books["rewards"] += a["rewardUnits"]
                books["sunk"] += a["sunkUnits"]
        gross: dict[tuple[int, int], int] = defaultdict(int)
        for one in self._settled.values():
            if not one.is_void:
                books[f"lane:{one.row.requester}:{one.row.signer}"] -= one.row.amount_units
                gross[one.place[0], one.row.operator_id] += one.row.amount_units
        bps = self._chain.deployment.constants.fee_bps
        for (_, operator), units in gross.items():
            fee = units * bps // 10_000
            books[f"operator:{operator}"] += units - fee
            books["fees"] += fee
        return dict(books)

    def _on_chain(self, account: str) -> int:
        escrow, stakes = self._chain.escrow.functions, self._chain.stakes.functions
        kind, *which = account.split(":")
        if kind == "lane":
            return int(escrow.lanes(*map(to_checksum_address, which)).call().balanceUnits)
        if kind == "operator":
            found = escrow.operators(int(which[0])).call()
            return int(found.earnedUnits - found.claimedUnits)
        if kind == "stake":
            staker = stakes.operators(int(which[0])).call()
            return int(staker.stakeUnits + staker.unbondingUnits)
        if kind in ("rewards", "sunk"):
            return int(getattr(stakes, f"{kind}Units")().call())
        return int(escrow.totals().call().feesUnits if kind == "fees" else escrow.settlerBond().call().bondUnits)

    def _check_blobs(self) -> None:
        """Every file is named by its bytes, their hash or their root, in the backend's folder and in the log's."""
        for folder in (self._home / "blobs", self._home / "log" / "blobs"):
            for file in folder.iterdir():
                if file.is_file() and file.name.startswith("0x") and not file.suffix:
                    assert is_named(file.read_bytes(), file.name), file


def undecided(home: Path) -> set[str]:
    """Orders that are delivered and not settled, or not delivered and not beyond their time, by the tables."""
    with _open(home / "assay.db") as db:
        now = db.execute("SELECT max(timestamp) FROM block").fetchone()[0] or 0
        query = (
            'SELECT o.order_id FROM "order" o LEFT JOIN commitment c ON c.order_id = o.order_id '
            "LEFT JOIN leaf l ON l.digest = c.digest LEFT JOIN settlement s ON s.epoch_id = l.epoch_id "
            "WHERE s.epoch_id IS NULL AND (c.digest IS NOT NULL OR max(o.deadline, coalesce("
            "(SELECT max(expires) FROM lease x WHERE x.order_id = o.order_id), 0)) >= ?)"
        )
        return {row["order_id"] for row in db.execute(query, (now,))}


def unfinished(home: Path) -> int:
    """Epochs without settlement, cases without an end, transactions without a confirmation, checks that nobody was
    paid for, by those tables.
    """
    counts = (
        "SELECT count(*) FROM epoch e LEFT JOIN settlement s ON s.epoch_id = e.epoch_id "
        "WHERE s.epoch_id IS NULL AND e.row_count > 0",
        "SELECT count(*) FROM epoch e WHERE e.epoch_id NOT IN "
        "(SELECT json_extract(args, '$.id') FROM chain_event WHERE name = 'EpochPosted')",
        "SELECT (SELECT count(*) FROM chain_event WHERE name = 'CaseOpened') - "
        "(SELECT count(*) FROM chain_event WHERE name = 'CaseExecuted')",
        "SELECT (SELECT count(*) FROM tx_intent) - (SELECT count(*) FROM tx_receipt)",
        "SELECT count(*) FROM verdict WHERE opening_json IS NOT NULL AND commitment_digest NOT IN "
        "(SELECT v.commitment_digest FROM verdict v JOIN leaf l ON l.digest = v.digest)",
    )
    with _open(home / "assay.db") as db:
        return sum(int(db.execute(count).fetchone()[0]) for count in counts)


class _open:
    """A SQLite file as it lies there, read-only."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20.0)
        self._db.row_factory = sqlite3.Row

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, *_: object) -> None:
        self._db.close()
