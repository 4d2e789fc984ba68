"""The public figure: held, owed, donated and unexplained, as of the newest block that the ledger knows."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from backend.api.http import create_http
from backend.chain.escrow_reads import Holding
from backend.store.chain_tables import ChainEventRow
from backend.store.ledger import post
from contracts.onchain.errors import RequestRefused
from tests.unit.backend.world import DEPLOYMENT, REQUESTER, World

WEI = DEPLOYMENT.constants.unit_wei
DEPOSIT = {"requester": REQUESTER.address, "signer": REQUESTER.address, "payer": REQUESTER.address, "units": 70}


def deposited(world: World, *, held_units: int, own_units: int) -> None:
    """A deposit of 70 units in the ledger, and what the escrow holds and says of it."""
    world.event("Deposited", **DEPOSIT)
    with world.database.begin() as session:
        post(session, session.exec(select(ChainEventRow)).all(), DEPLOYMENT.constants.fee_bps)
    world.chain.held = [Holding("JobEscrow", DEPLOYMENT.escrow, held_units * WEI, own_units * WEI)]


def test_nothing_is_claimed_before_a_block_is_known(world: World) -> None:
    """Protects honesty: without a ledger there is no block and no contract, so a page can say so."""
    books = world.services.books.view()
    assert (books.block_number, books.contracts) == (None, [])


@pytest.mark.parametrize(
    ("held", "own", "donated", "unexplained"),
    [(70, 70, 0, 0), (75, 70, 5, 0), (69, 70, 0, -1), (71, 71, 0, 1)],
    ids=["even", "a donation", "a token is missing", "the contract owes what the ledger does not know"],
)
def test_a_single_unit_shows(world: World, held: int, own: int, donated: int, unexplained: int) -> None:
    """Protects the figure: one unit too few or too many turns it, a donation does not."""
    deposited(world, held_units=held, own_units=own)
    found = TestClient(create_http(world.services)).get("/v1/books").json()
    assert found["unexplained_wei"] == unexplained * WEI
    (escrow,) = found["contracts"]
    assert (escrow["held_wei"], escrow["owed_wei"], escrow["donated_wei"]) == (held * WEI, 70 * WEI, donated * WEI)


def test_the_chain_is_asked_once_a_block(world: World) -> None:
    """Protects the endpoint from crowds: however many look, the chain is asked once for each block."""
    deposited(world, held_units=70, own_units=70)
    world.services.books.view()
    world.chain.held = []
    assert len(world.services.books.view().contracts) == 1
    world.event("Registered", id=1, owner=REQUESTER.address, payout=REQUESTER.address)
    assert world.services.books.view().contracts == []


def test_a_block_that_the_endpoint_forgot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a wrong zero: state that the endpoint no longer has is an unavailable chain, not an empty one."""
    deposited(world, held_units=70, own_units=70)

    def forgot(block_number: int) -> list[Holding]:
        raise RequestRefused("the endpoint", "eth_call", -32000, "missing trie node")

    monkeypatch.setattr(world.chain, "holdings", forgot)
    answer = TestClient(create_http(world.services), raise_server_exceptions=False).get("/v1/books")
    assert (answer.status_code, answer.json()["code"]) == (503, "chain_unavailable")
