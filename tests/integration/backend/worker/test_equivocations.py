"""A node that answers one order twice: the worker brings both answers to the court, once."""

from backend.store.tables import CommitmentRow, EquivocationRow
from contracts.protocol.records import Commitment
from tests.integration.backend.worker.bench import KEYS, Bench


def sign_again(bench: Bench, job: CommitmentRow) -> None:
    """What `Delivery` keeps of a second answer."""
    second = Commitment.model_validate_json(job.commitment_json).model_copy(update={"units": 6})
    signature = KEYS["node"].sign(bench.deployment.domain.commitment_digest(second))
    with bench.database.begin() as session:
        session.add(
            EquivocationRow(
                order_id=job.order_id, commitment_json=second.model_dump_json(), signature=signature, received_at=1
            )
        )


def test_two_answers_to_one_order_cost_the_node_its_stake(bench: Bench) -> None:
    """Slashed without a verdict, once, whoever restarts in between; an honest job of the same node is not touched.

    Covers: A56
    """
    bench.call("deployer", bench.chain.stakes.functions.stake(bench.operator_id, 10**6))
    wrong, _ = bench.deliver("alice"), bench.deliver("bob")
    sign_again(bench, wrong)
    bench.drive(bench.worker(), 12)
    bench.drive(bench.worker(), 12)
    (event,) = bench.events("Equivocated")
    assert event.args["orderId"] == wrong.order_id
    assert event.args["node"] == KEYS["node"].address
    assert event.args["slashedUnits"] > 0
    accounts = bench.assert_books_are_right()
    assert accounts[f"stake:{bench.operator_id}"] == 10**6 - event.args["slashedUnits"]
