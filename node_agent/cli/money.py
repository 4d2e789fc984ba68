"""`assay node stake`, `claim`, `settle`, `revoke-key`: the commands that need the owner's key."""

from typing import TYPE_CHECKING, Annotated

import typer

from contracts.protocol.amounts import positive_amount
from node_agent.cli.options import console, node_command
from node_agent.errors import BadSetting, NotSettleable

if TYPE_CHECKING:
    from node_agent.where import NodePlace


@node_command("rpc", "deployment", "owner_key", context_settings={"ignore_unknown_options": True})
def stake(
    where: "NodePlace", tokens: Annotated[str, typer.Argument(help="How many tokens to add.", callback=positive_amount)]
) -> None:
    """Add to the operator's stake."""
    from node_agent.cli.show import show_account
    from node_agent.session.earnings import read_account
    from node_agent.session.registration import add_stake
    from node_agent.where import units_of

    add_stake(where.chain, where.owner(), where.operator_id, units_of(where.chain, tokens), console.print)
    show_account(where.chain, read_account(where.chain, where.operator_id))


@node_command("rpc", "deployment", "owner_key")
def claim(
    where: "NodePlace",
    to_stake: Annotated[bool, typer.Option("--to-stake", help="Into the stake instead: more room for jobs.")] = False,
) -> None:
    """Draw everything that was credited: to the payout address, or into the stake."""
    from node_agent.session.earnings import draw_credit, read_account
    from node_agent.where import tokens_of

    owner = where.owner()
    if read_account(where.chain, where.operator_id).claimable_units == 0:
        console.print("nothing to claim: all credit is drawn; a job is credited when its epoch settles")
        return
    paid = draw_credit(where.chain, owner, where.operator_id, to_stake=to_stake)
    account = read_account(where.chain, where.operator_id)
    target = f"the stake, now {tokens_of(where.chain, account.stake_units)}" if to_stake else account.payout
    console.print(f"claimed {tokens_of(where.chain, paid)} to {target}")


@node_command("rpc", "deployment", "owner_key")
def settle(
    where: "NodePlace",
    order_id: Annotated[list[str] | None, typer.Argument(help="Orders to settle; default: all that wait.")] = None,
) -> None:
    """Settle delivered jobs of stranded epochs, or of skipped lanes, without the backend."""
    from node_agent.session.earnings import settle_one, settleable

    answers = settleable(where.chain, where.journal.rooted())
    if order_id:
        answers = [found for name in order_id if (found := where.journal.find(name)) is not None]
        if len(answers) < len(order_id):
            raise NotSettleable(
                f"The journal in {where.home} lacks some of {order_id}.", way_out="Check the ids.", order_ids=order_id
            )
    sender = where.owner()
    for answer in answers:
        settle_one(where.chain, sender, answer, where.operator_id)
        console.print(f"settled {answer.order_id}")
    console.print(f"{len(answers)} jobs settled one by one")


@node_command("rpc", "deployment", "owner_key", name="revoke-key")
def revoke_key(
    where: "NodePlace",
    node: Annotated[str | None, typer.Argument(help="The node key's address; default: this home's.")] = None,
) -> None:
    """Revoke a stolen or lost node key, at once and for ever."""
    from eth_utils.address import is_address

    from node_agent.session.registration import revoke_node_key

    key = node or where.node
    if not is_address(key):
        raise BadSetting(f"{key} is no address.", way_out="Give 0x and 40 hex digits.", node=key)
    revoke_node_key(where.chain, where.owner(), key, console.print)
    console.print("what it delivered is still paid, and can still be slashed; for a new node key of the same operator:")
    console.print("`assay node init` with another --home and the same --owner-key")
