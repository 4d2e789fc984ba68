"""The composition root of `assay serve`: builds every part and passes each its dependencies."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI

from backend.api.http import create_http
from backend.api.services import Services
from backend.chain.views import ChainView, OnChainView
from backend.domain.assignment import NEWCOMER_TOKENS_PART, Cover, LeaseTimes, times_fit
from backend.errors import Misconfigured
from backend.services.canary import Canary
from backend.services.delivery import Delivery
from backend.services.intake import Intake
from backend.services.leasing import Leasing
from backend.services.ledger.reconcile import PublicBooks
from backend.services.offering import require_tokenizers
from backend.services.record import PublicRecord
from backend.services.traces import Traces
from backend.services.verdicts import Verdicts
from backend.services.views import Views
from backend.services.words import Words
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.home import open_blobs, open_database, open_tokenizers
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.protocol.signing import Signer


@dataclass(frozen=True)
class BackendSettings:
    """A backend's settings.

    `treasury_signer`: the signer of the treasury's lane, which pays for checks. `canary`: the key whose lane pays for
    newcomers' first jobs, at most `canary_daily_units` a day; None: there are no such jobs. `public_rpc`: an RPC URL of
    the chain for browser wallets. `newcomer_price`: the highest maximum of a job that is lent without stake, units;
    None: a tenth of a token.
    """

    home: Path
    rpc_url: str
    deployment: Deployment
    settler: Signer
    treasury_signer: str
    lease_times: LeaseTimes = field(default_factory=LeaseTimes)
    canary: Signer | None = None
    canary_daily_units: int = 10**9
    public_rpc: str | None = None
    newcomer_price: int | None = None


def unix_now() -> int:
    return int(time.time())


def build_app(settings: BackendSettings) -> FastAPI:
    """The backend's HTTP application on the deployed contracts. Raises Misconfigured and ChainError."""
    deployment, view = settings.deployment, Chain.open(settings.rpc_url, settings.deployment)
    if settings.settler.address != (settler := view.settler()):
        says = f"settler.json is the key of {settings.settler.address}, but the escrow's settler is {settler}"
        raise Misconfigured(says, way_out="use the settler's keystore: leases signed by another key are void")
    if not times_fit(settings.lease_times, deployment.constants):
        says = f"with {settings.lease_times} a delivery may settle after a notice matures"
        raise Misconfigured(says, way_out="shorten the grace")
    chain = OnChainView(view)
    database = open_database(settings.home)
    services = build_services(settings, chain, database, open_blobs(settings.home), unix_now)
    require_tokenizers(database, services.words.tokenizers)
    return create_http(services)


def _cover(settings: BackendSettings, chain: ChainView) -> Cover:
    constants, price = settings.deployment.constants, settings.newcomer_price
    if price is None:
        price = 10 ** chain.token().decimals // constants.unit_wei // NEWCOMER_TOKENS_PART
    return Cover(constants.penalty_multiple, price)


def build_services(
    settings: BackendSettings, chain: ChainView, database: Database, blobs: BlobStore, clock: Callable[[], int]
) -> Services:
    """Builds the services on a store, a view of the chain and a clock."""
    deployment = settings.deployment
    words = Words(database, blobs, open_tokenizers(settings.home))
    intake = Intake(database, blobs, words, chain, deployment, clock)
    present = deployment.model_copy(update={"settler": settings.settler.address})
    record = PublicRecord(blobs, deployment.constants, chain.block_hash)
    cover = _cover(settings, chain)
    views = Views(
        database, chain, present, settings.treasury_signer, record, clock, cover.newcomer_price, settings.public_rpc
    )
    canary, daily_units = settings.canary, settings.canary_daily_units
    return Services(
        blobs=blobs,
        intake=intake,
        leasing=Leasing(
            database, blobs, chain, deployment, settings.settler, settings.lease_times, cover, record, clock
        ),
        delivery=Delivery(database, blobs, deployment, clock),
        traces=Traces(database, blobs, deployment, clock),
        verdicts=Verdicts(database, blobs, chain, deployment, record, clock),
        views=views,
        words=words,
        books=PublicBooks(database, chain, deployment.constants.unit_wei),
        canary=Canary(database, chain, deployment, intake, views, canary, daily_units, cover, clock),
    )
