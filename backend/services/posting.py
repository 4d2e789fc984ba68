"""Posts closed epochs in order. Posting reveals the beacon's value, and with it the sample of the epoch before."""

import logging

from backend.chain.beacon_client import Beacon
from backend.chain.errors import BeaconNotReady
from backend.chain.tx_manager import TxManager
from backend.services.calls import ensure_call, open_key
from backend.store import facts
from backend.store.chain_tables import TxIntentRow
from backend.store.database import Database
from backend.store.tables import EpochRow
from contracts.onchain.chain import Chain
from contracts.protocol.hashing import from_hex

_log = logging.getLogger(__name__)


def post_epoch(database: Database, chain: Chain, beacon: Beacon, manager: TxManager, now: int) -> int | None:
    """Asks for the post of the oldest closed epoch that is not posted, and returns its id; None when none is due.

    The beacon is asked only once the seed block of the epoch before lies behind the head.
    """
    with database.read() as session:
        before = facts.last_post(session)
        epoch = session.get(EpochRow, before.epoch_id + 1 if before else 1)
        if epoch is None:
            return None
    deep = before is None or before.count == 0 or _is_deep(chain, before.block_number)
    key = open_key(manager, f"post:{epoch.epoch_id}")
    if not deep or _is_intended(database, key):
        return None
    try:
        value = beacon.value(epoch.epoch_id)
    except BeaconNotReady as error:
        _log.info("epoch %d waits: %s", epoch.epoch_id, error)
        return None
    function = chain.escrow.functions.postEpoch(
        epoch.epoch_id, from_hex(epoch.root), epoch.row_count, value, from_hex(epoch.log_root)
    )
    ensure_call(manager, key, function, now)
    return epoch.epoch_id


def _is_deep(chain: Chain, posted_block: int) -> bool:
    return chain.head().number > posted_block + chain.deployment.constants.seed_blocks


def _is_intended(database: Database, key: str) -> bool:
    with database.read() as session:
        return session.get(TxIntentRow, key) is not None
