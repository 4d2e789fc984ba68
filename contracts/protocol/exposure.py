"""An operator's exposure when an epoch is posted: what it could lose a penalty on (SPEC section 10).

Whoever computes the least check rate of a row (backend, verifier, auditor) takes it from here.
"""

from collections.abc import Mapping, Sequence


def exposure_units(
    operator_id: int,
    epoch_id: int,
    rows_by_epoch: Mapping[int, Sequence[tuple[int, int]]],
    posted_at: Mapping[int, int],
    check_wait_s: int,
) -> int:
    """Σ maxPrice of the operator's rows in `epoch_id` and in every earlier epoch still in its check period then.

    An earlier epoch m counts while `posted_at[m + 1] + check_wait_s > posted_at[epoch_id]`: its check period runs from
    the post that revealed its sample. `rows_by_epoch`: epoch -> (operator id, max price in units) of its jobs; rows of
    the treasury's lane are left out. `posted_at`: Unix seconds of every post up to `epoch_id`. Raises KeyError when a
    post is missing.
    """
    now = posted_at[epoch_id]
    return sum(
        max_price
        for m, rows in rows_by_epoch.items()
        if m == epoch_id or (m < epoch_id and posted_at[m + 1] + check_wait_s > now)
        for operator, max_price in rows
        if operator == operator_id
    )
