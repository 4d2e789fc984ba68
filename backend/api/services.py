"""The services of one backend, as the routers are given them."""

from dataclasses import dataclass

from backend.services.canary import Canary
from backend.services.delivery import Delivery
from backend.services.intake import Intake
from backend.services.leasing import Leasing
from backend.services.ledger.reconcile import PublicBooks
from backend.services.traces import Traces
from backend.services.verdicts import Verdicts
from backend.services.views import Views
from backend.services.words import Words
from backend.store.blobs import BlobStore


@dataclass(frozen=True)
class Services:
    """One instance of each service."""

    blobs: BlobStore
    intake: Intake
    leasing: Leasing
    delivery: Delivery
    traces: Traces
    canary: Canary
    verdicts: Verdicts
    views: Views
    words: Words
    books: PublicBooks
