"""At which rate a row is checked, from what the chain says of its operator: the published least, or more on suspicion.

Backend, verifier, node and auditor take it from here, so they cannot differ.
"""

from contracts.onchain.history import History
from contracts.protocol.constants import Constants
from contracts.protocol.manifest import Manifest
from contracts.protocol.sampling import least_threshold, raised

CERTAIN_PPM = 1_000_000


def check_threshold(
    history: History,
    constants: Constants,
    manifest: Manifest,
    *,
    operator_id: int,
    block_number: int,
    exposure_units: int,
    watched_ppm: int = 0,
) -> int:
    """The chance, times 2^256, that a row is checked.

    Args:
        history: up to the block in which the row's epoch was posted, or further.
        operator_id: whose row it is.
        block_number: of that post.
        exposure_units: what the operator had open then (`contracts.protocol.exposure`).
        watched_ppm: the rate that the standing of its native work asks for (`contracts.protocol.native`).

    Every row of an operator is checked while a case against it is open, and after one that was ruled against it.
    """
    least = least_threshold(
        manifest.deterrence,
        stake_units=history.stake_at(operator_id, block_number),
        exposure_units=exposure_units,
        penalty_multiple=constants.penalty_multiple,
    )
    suspected = history.is_suspected_at(operator_id, block_number)
    return raised(least, CERTAIN_PPM if suspected else watched_ppm)
