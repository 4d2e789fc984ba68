"""Posts closed epochs in order. A post reveals the beacon's value, and with it the sample of the epoch before."""

import logging

from backend.chain.beacon_client import Beacon
from backend.chain.errors import BeaconNotReady
from backend.chain.tx_manager import TxManager
from backend.services.calls import ensure_call
from backend.store import facts
from backend.store.database import Database
from backend.store.tables import EpochRow
from contracts.onchain.chain import Chain
from contracts.protocol.hashing import from_hex

_log = logging.getLogger(__name__)


def post_epoch(database: Database, chain: Chain, beacon: Beacon, manager: TxManager, now: int) -> None:
    """Asks for the post of the oldest closed epoch that is not posted.

    Asks the beacon only once the seed block of the epoch before is behind the head.
    """
    with database.read() as session:
        before = facts.last_post(session)
        epoch = session.get(EpochRow, before.epoch_id + 1 if before else 1)
    key = None if epoch is None else manager.next_key(f"post:{epoch.epoch_id}")
    if epoch is None or key is None:
        return
    if before is not None and before.count > 0:
        seed_block = before.block_number + chain.deployment.constants.seed_blocks
        if chain.head().number <= seed_block:
            return
    try:
        value = beacon.value(epoch.epoch_id)
    except BeaconNotReady as error:
        _log.info("epoch %d waits: %s", epoch.epoch_id, error)
        return
    function = chain.escrow.functions.postEpoch(
        epoch.epoch_id, from_hex(epoch.root), epoch.row_count, value, from_hex(epoch.log_root)
    )
    ensure_call(manager, key, function, now)
