"""`assay node stake`, `claim`, `settle`, `revoke-key`: what needs the owner's key."""

from typing import Annotated

import typer

from contracts.protocol.amounts import positive_amount
from node_agent.cli.apps import node_app
from node_agent.cli.options import (
    DEFAULT_HOME,
    DeploymentOption,
    HomeOption,
    OwnerKeyOption,
    RpcOption,
    console,
    explained,
)
from node_agent.errors import BadSetting, NotSettleable


@node_app.command(context_settings={"ignore_unknown_options": True})
def stake(
    tokens: Annotated[str, typer.Argument(help="How many tokens to add.", callback=positive_amount)],
    home: HomeOption = DEFAULT_HOME,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    owner_key: OwnerKeyOption = None,
) -> None:
    """Add to the operator's stake."""
    from node_agent.cli.show import show_account
    from node_agent.session.earnings import read_account
    from node_agent.session.registration import add_stake
    from node_agent.where import NodePlace, units_of

    with explained(), NodePlace(home, rpc, deployment, owner_key_option=owner_key) as where:
        add_stake(where.chain, where.owner(), where.operator_id, units_of(where.chain, tokens), console.print)
        show_account(where.chain, read_account(where.chain, where.operator_id))


@node_app.command("claim")
def claim_command(
    home: HomeOption = DEFAULT_HOME,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    owner_key: OwnerKeyOption = None,
    to_stake: Annotated[bool, typer.Option("--to-stake", help="Into the stake instead: more room for jobs.")] = False,
) -> None:
    """Draw everything that was credited: to the payout address, or into the stake."""
    from node_agent.session.earnings import claim, claim_to_stake, read_account
    from node_agent.where import NodePlace, tokens_of

    with explained(), NodePlace(home, rpc, deployment, owner_key_option=owner_key) as where:
        owner = where.owner()
        if read_account(where.chain, where.operator_id).claimable_units == 0:
            console.print("nothing to claim: a job is credited when its epoch settles, and all that was is drawn")
            return
        draw = claim_to_stake if to_stake else claim
        paid = draw(where.chain, owner, where.operator_id)
        account = read_account(where.chain, where.operator_id)
        target = (
            f"the stake, which is {tokens_of(where.chain, account.stake_units)} now" if to_stake else account.payout
        )
        console.print(f"claimed {tokens_of(where.chain, paid)} to {target}")


@node_app.command()
def settle(
    home: HomeOption = DEFAULT_HOME,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    order_id: Annotated[list[str] | None, typer.Argument(help="Orders to settle; all that wait if none.")] = None,
    owner_key: OwnerKeyOption = None,
) -> None:
    """Settle delivered jobs of stranded epochs, or of skipped lanes, without the backend."""
    from node_agent.session.earnings import settle_one, settleable
    from node_agent.where import NodePlace

    with explained(), NodePlace(home, rpc, deployment, owner_key_option=owner_key) as where:
        answers = settleable(where.chain, where.journal.rooted())
        if order_id:
            answers = [found for name in order_id if (found := where.journal.find(name)) is not None]
            if len(answers) < len(order_id):
                raise NotSettleable(
                    f"The journal in {home} lacks some of {order_id}.", way_out="Check the ids.", order_ids=order_id
                )
        sender = where.owner()
        for answer in answers:
            settle_one(where.chain, sender, answer, where.operator_id)
            console.print(f"settled {answer.order_id}")
        console.print(f"{len(answers)} jobs settled one by one")


@node_app.command("revoke-key")
def revoke_key(
    node: Annotated[str | None, typer.Argument(help="The node key's address; this home's if not given.")] = None,
    home: HomeOption = DEFAULT_HOME,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    owner_key: OwnerKeyOption = None,
) -> None:
    """Take a node key back, at once and for ever: stolen or lost, it signs nothing any more."""
    from eth_utils.address import is_address

    from node_agent.session.registration import revoke_node_key
    from node_agent.where import NodePlace

    with explained(), NodePlace(home, rpc, deployment, owner_key_option=owner_key) as where:
        key = node or where.node
        if not is_address(key):
            raise BadSetting(f"{key} is no address.", way_out="Give 0x and 40 hex digits.", node=key)
        revoke_node_key(where.chain, where.owner(), key, console.print)
        console.print("what it delivered is still paid, and still answered for; a new node key of the same operator:")
        console.print("`assay node init` with another --home and the same --owner-key")
