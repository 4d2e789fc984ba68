"""`assay wallet session`: keys for programs, each with its own lane."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend.client.options import ON_CHAIN, ClientPlace, client_command, password_of, time_of
from contracts.protocol.amounts import positive_amount

session_app = typer.Typer(help="Session keys. Each can spend what its lane holds.", no_args_is_help=True)

_DAY_S = 86_400


@client_command(session_app, "new", *ON_CHAIN)
def new(
    where: ClientPlace,
    name: Annotated[str, typer.Argument(help="its name, e.g. that of the program that gets the key")],
    amount: Annotated[str, typer.Option(help="tokens that it may spend, e.g. 1.5", callback=positive_amount)],
    days: Annotated[float, typer.Option(min=0.01, help="how long the lane accepts orders")] = 30.0,
    send: Annotated[
        bool, typer.Option("--send/--sign-only", help="open the lane now, or leave that to whoever submits the grant")
    ] = True,
) -> None:
    """Makes a session key and a grant for its lane, and opens the lane with tokens from the wallet."""
    from backend.client.authorizations import bring_grant
    from backend.client.sessions import create_session_key, keep_grant, key_file
    from backend.client.wallet import scale_of
    from contracts.onchain.sender import Sender

    wallet, chain = where.wallet(), where.chain()
    scale, expiry = scale_of(chain), int(time.time() + days * _DAY_S)
    units = scale.parse(amount)
    session = create_session_key(where.folder(), name, password_of(key_file(where.folder(), name)))
    signed = wallet.grant_lane(session.address, units, expiry)
    path = keep_grant(where.folder(), name, signed)
    if send:
        bring_grant(chain, Sender(chain.w3, where.key()), signed)
        _tell(f"session {name}: {session.address} may spend {scale.show(units)} until {time_of(expiry)}")
        _tell(f'try it: assay jobs submit --session {name} --prompt "..."')
    else:
        _tell(f"session {name}: {session.address}; its lane opens when somebody submits {path} within the hour:")
        _tell(f"assay wallet session bring {path}")


@client_command(session_app, "bring", *ON_CHAIN)
def bring(where: ClientPlace, grant: Annotated[Path, typer.Argument(help="the file of a signed grant")]) -> None:
    """Opens the lane of a signed grant. This wallet pays the gas, the grant's signer the tokens."""
    from backend.client.authorizations import bring_grant
    from backend.client.sessions import read_grant
    from contracts.onchain.sender import Sender

    signed, chain = read_grant(grant), where.chain()
    bring_grant(chain, Sender(chain.w3, where.key()), signed)
    _tell(f"the lane ({signed.grant.requester}, {signed.grant.signer}) is open until {time_of(signed.grant.expiry)}")


@client_command(session_app, "list", *ON_CHAIN)
def list_sessions(where: ClientPlace) -> None:
    """Lists the sessions of this folder and what their lanes hold."""
    from backend.client.sessions import sessions
    from backend.client.wallet import scale_of
    from contracts.onchain.lanes import read_lane

    chain, found = where.chain(), sessions(where.folder())
    scale, table = scale_of(chain), Table("session", "signer", "balance", "charged so far", "expires", show_edge=False)
    for one in found:
        signer = one.signed.grant.signer
        lane = read_lane(chain, one.requester, signer)
        expires = time_of(lane.expiry) if lane.expiry else "not opened"
        table.add_row(one.name, signer, scale.show(lane.balance), scale.show(lane.charged), expires)
    Console().print(table if found else "No sessions; `assay wallet session new NAME --amount 1` makes one.")


def _tell(text: str) -> None:
    Console(soft_wrap=True, highlight=False).print(text, markup=False)
