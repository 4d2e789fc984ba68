"""The demo's report, as JSON for machines and as tables for newcomers."""

from math import prod
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from contracts.protocol.constants import PRODUCTION, Constants
from contracts.protocol.hashing import to_hex
from contracts.record.history import CaseFile
from deploy.localnet.facts import DemoFacts, Exhibit, NodeFacts, is_guilty
from deploy.localnet.founding import TOKEN_UNITS
from deploy.localnet.planning import shortened
from deploy.localnet.scenario import CHEATED_KIND, CHEATS, Story

CaseShown = tuple[CaseFile, Exhibit]

_WINDOWS = [name for name in Constants.model_fields if name.endswith(("_s", "_blocks"))]


def as_json(
    story: Story, facts: DemoFacts, audit: dict[str, Any], *, chain_kind: str, seconds: float
) -> dict[str, Any]:
    """The report of `assay demo --json`."""
    return {
        "chain": chain_kind,
        "epochs": facts.epochs_with_jobs,
        "jobs": outcomes(story),
        "kinds": paid_by_kind(story),
        "epochs_with_both_kinds": epochs_with_both_kinds(story),
        "unexplained_wei": audit["unexplained_wei"],
        "audit": {"ok": audit["ok"], "payments_recomputed": audit["payments_recomputed"]},
        "reruns": audit["reruns"],
        "slashed_nodes": [node.name for node in facts.nodes if node.slashed_units],
        "nodes": {node.name: node.__dict__ for node in facts.nodes},
        "requesters": {requester.name: requester.__dict__ for requester in facts.requesters},
        "gas_per_job": round(facts.gas_per_job),
        "gas": facts.gas,
        "check_rate_least": min((rate for name in CHEATS for rate in cheated(story, facts, name)), default=None),
        "penalty_multiple": story.network.constants.penalty_multiple,
        "cheats": {
            name: {"how": how, "jobs": len(rates), "miss_chance": prod(1.0 - rate for rate in rates)}
            for name, how in CHEATS.items()
            for rates in [cheated(story, facts, name)]
        },
        "verifiers": {verifier.name: verifier.__dict__ for verifier in facts.verifiers},
        "cases": len(facts.history.cases),
        "plan": {
            "jobs": story.plan.jobs, "most_tokens": story.plan.most_tokens, "check_rate": story.plan.check_rate,
            "cheat_jobs": story.plan.cheat_jobs, "miss_chance": story.plan.miss_chance,
            "seconds": round(story.plan.total_s, 1), "shortened": shortened(story.plan.constants),
        },
        "seconds": round(seconds, 1),
    }  # fmt: skip


def cheated(story: Story, facts: DemoFacts, name: str) -> list[float]:
    """The least check rate of each cheated job."""
    return facts.rates_of(story.node_accounts[name], CHEATED_KIND[CHEATS[name]])


def outcomes(story: Story) -> dict[str, int]:
    """Jobs by outcome."""
    counts: dict[str, int] = {}
    for view in story.orders:
        counts[view.state] = counts.get(view.state, 0) + 1
    return dict(sorted(counts.items()))


def paid_by_kind(story: Story) -> dict[str, int]:
    """Paid jobs by kind of work."""
    paid = [story.kinds[view.order.terms.workload_id] for view in story.orders if view.state == "paid"]
    return {kind: paid.count(kind) for kind in sorted(story.kinds.values())}


def epochs_with_both_kinds(story: Story) -> int:
    """Epochs that paid jobs of every kind on offer."""
    kinds: dict[int, set[str]] = {}
    for view in story.orders:
        if view.receipt is not None and view.state == "paid":
            kinds.setdefault(view.receipt.epoch_id, set()).add(story.kinds[view.order.terms.workload_id])
    return sum(found == set(story.kinds.values()) for found in kinds.values())


def show(console: Console, story: Story, facts: DemoFacts, report: dict[str, Any], shown: CaseShown | None) -> None:
    """Prints the report."""
    console.print()
    console.print(_jobs(report))
    console.print(_nodes(facts))
    console.print(_verifiers(facts))
    console.print(_requesters(facts))
    if shown is not None:
        console.print(_case(story, facts, *shown))
    console.print(_constants(story))
    _last_lines(console, report)


def tokens(units: int) -> str:
    """An amount in whole tokens, exactly."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    whole, rest = divmod(units, TOKEN_UNITS)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")


_MEANINGS = {
    "paid": "delivered, not proven wrong: the node earns",
    "void": "proven wrong before settlement: nobody is charged",
    "skipped": "the lane could not pay: payable one by one",
    "expired": "not delivered in time: nothing is charged",
}


def _jobs(report: dict[str, Any]) -> Table:
    table = Table(title="Jobs by outcome", title_justify="left")
    for column in ("outcome", "jobs", "what it means"):
        table.add_column(column, justify="right" if column == "jobs" else "left")
    for outcome, count in report["jobs"].items():
        table.add_row(outcome, str(count), _MEANINGS.get(outcome, ""))
    return table


def _nodes(facts: DemoFacts) -> Table:
    table = Table(title="Nodes (amounts in tokens)", title_justify="left")
    table.add_column("node")
    for column in ("jobs", "checked", "cases", "earned", "claimed", "slashed", "stake left"):
        table.add_column(column, justify="right")
    for node in facts.nodes:
        table.add_row(*_node_row(node), style="red" if node.slashed_units else None)
    return table


def _node_row(node: NodeFacts) -> tuple[str, ...]:
    money = (node.earned_units, node.claimed_units, node.slashed_units, node.stake_units)
    return (node.name, str(node.delivered), str(node.sampled), str(node.cases), *map(tokens, money))


def _verifiers(facts: DemoFacts) -> Table:
    table = Table(
        title="Verifiers (tokens; only the first verdict on a job is paid, in a later epoch)", title_justify="left"
    )
    table.add_column("verifier")
    for column in ("verdicts", "paid", "cases", "from checks", "from court"):
        table.add_column(column, justify="right")
    for v in facts.verifiers:
        counts = (str(v.verdicts), str(v.paid), str(v.cases))
        table.add_row(v.name, *counts, tokens(v.earned_units), tokens(v.rewarded_units))
    return table


def _requesters(facts: DemoFacts) -> Table:
    table = Table(title="Requesters: what was signed and what was charged (tokens)", title_justify="left")
    table.add_column("requester")
    for column in ("orders", "signed at most", "charged", "left in the lane"):
        table.add_column(column, justify="right")
    for r in facts.requesters:
        table.add_row(r.name, str(r.orders), *map(tokens, (r.signed_units, r.charged_units, r.balance_units)))
    return table


def _case(story: Story, facts: DemoFacts, case: CaseFile, shown: Exhibit) -> Panel:
    names = {account: name for name, account in {**story.node_accounts, **story.verifier_accounts}.items()}
    constants = story.network.constants
    lines = Table.grid(padding=(0, 2))
    for fact, what in (
        ("job", f"of {names[case.operator_id]}: epoch {case.epoch_id}, row {case.index}"),
        ("asked", shown.prompt),
        ("committed", f"{shown.units} units, answering: {_short(shown.answer)}"),
        ("signed by", f"{shown.node}, digest {_cut(case.commitment_digest)}"),
        ("opened by", f"{names[case.voters[0]]}"),
        ("at stake", f"{tokens(case.penalty_units)} of the node's stake, or the rest of it at execution"),
        ("windows", f"answers hidden until {constants.commit_window_s} s after opening, shown within "
         f"{constants.reveal_window_s} s (production: {PRODUCTION.commit_window_s} s each)"),
        *_answers(case, names),
        *_ruling(facts, case),
    ):  # fmt: skip
        lines.add_row(fact, escape(what))
    count = sum(is_guilty(one) for one in facts.history.cases.values())
    return Panel(lines, title=f"Case file (1 of {count} upheld)", title_align="left", expand=False)


def _answers(case: CaseFile, names: dict[int, str]) -> list[tuple[str, str]]:
    return [
        (
            "computed",
            f"by {names[event.args['verifierId']]}: trace {_cut(event.args['traceHash'])}, {event.args['units']} units,"
            f" {'agrees with' if event.args['agreesWithNode'] else 'differs from'} the node",
        )
        for event in case.said
        if event.name == "VerdictRevealed"
    ]


def _ruling(facts: DemoFacts, case: CaseFile) -> list[tuple[str, str]]:
    executed = case.executed
    if executed is None:
        return [("ruling", "not executed yet")]
    slashes = [event.args for event in facts.history.of("Slashed") if event.tx_hash == executed.tx_hash]
    slashed = next(args for args in slashes if args["id"] == case.operator_id)
    refund = slashed["refundUnits"]
    return [
        ("ruling", "the node is guilty" if is_guilty(case) else "dismissed"),
        ("slashed", tokens(slashed["units"])),
        ("of that", f"requester {tokens(refund)}{'' if refund else ' (VOID: nothing had been charged)'}, verifiers "
         f"{tokens(slashed['rewardUnits'])}, nobody {tokens(slashed['sunkUnits'])}"),
    ]  # fmt: skip


def _cut(digest: bytes) -> str:
    return to_hex(digest)[:18] + ".."


def _short(text: str, most: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 2] + ".."


def _constants(story: Story) -> Table:
    table = Table(title="Windows of this run beside production's", title_justify="left")
    for column in ("constant", "here", "production"):
        table.add_column(column, justify="left" if column == "constant" else "right")
    for name in _WINDOWS:
        here, there = getattr(story.network.constants, name), getattr(PRODUCTION, name)
        table.add_row(name, str(here), str(there), style=None if here == there else "yellow")
    table.add_row(
        "penalty_multiple (k)", str(story.network.constants.penalty_multiple), str(PRODUCTION.penalty_multiple)
    )
    return table


def _last_lines(console: Console, report: dict[str, Any]) -> None:
    console.print(
        f"sampling: least check rate p = {report['check_rate_least']:.3f} at k = {report['penalty_multiple']} "
        f"(production: k = {PRODUCTION.penalty_multiple})"
    )
    for name, cheat in report["cheats"].items():
        console.print(
            f"{name} ({cheat['how']}) cheated in {cheat['jobs']} jobs; a run misses this with chance "
            f"{cheat['miss_chance']:.1e}"
        )
    gas = report["gas"]
    console.print(
        f"gas: {report['gas_per_job']:,} a settled row (post {gas['post']:,}, settle {gas['settle']:,}, "
        f"claim {gas['claim']:,}; small epochs, see `make bench-gas` for large ones)"
    )
    kinds = ", ".join(f"{count} of {kind}" for kind, count in report["kinds"].items())
    console.print(f"paid by kind: {kinds}; both in one settlement: {report['epochs_with_both_kinds']} epochs")
    console.print(f"slashed: {', '.join(report['slashed_nodes']) or 'nobody'}")
    console.print(f"unexplained wei: {report['unexplained_wei']}")
    audit = report["audit"]
    verdict = "[green]OK[/green]" if audit["ok"] else "[red]FAILED[/red]"
    console.print(
        f"audit: {verdict}, {audit['payments_recomputed']} payments recomputed in an empty folder "
        "from the RPC URL and the log"
    )
    for again in report["reruns"]:
        verdict = "[green]the same bits[/green]" if again["same"] else "[red]another answer[/red]"
        whose = "a cheat's, unsampled" if again["by_a_cheat"] else "an honest node's"
        console.print(
            f"run again: {again['kind']} of epoch {again['epoch_id']} ({whose}), engine {again['engine']}: {verdict}"
        )
    console.print(f"{report['seconds']:.0f} s on the {report['chain']} chain, {report['epochs']} epochs with jobs")
