"""An operator's exposure when an epoch is posted: the prices it could be penalised for (SPEC section 10)."""

from collections.abc import Mapping, Sequence


def exposure_units(
    operator_id: int,
    epoch_id: int,
    rows_by_epoch: Mapping[int, Sequence[tuple[int, int]]],
    posted_at: Mapping[int, int],
    check_wait_s: int,
) -> int:
    """The sum of maxPrice over the operator's rows in `epoch_id` and in earlier epochs still in their check period.

    An earlier epoch m counts while `posted_at[m + 1] + check_wait_s > posted_at[epoch_id]`: its check period begins
    with the post that reveals its sample. `rows_by_epoch`: epoch -> (operator id, max price in units) of its jobs,
    without the treasury's lane. `posted_at`: Unix seconds of every post up to `epoch_id`; raises KeyError if one is
    missing.
    """
    now = posted_at[epoch_id]
    return sum(
        max_price
        for m, rows in rows_by_epoch.items()
        if m == epoch_id or (m < epoch_id and posted_at[m + 1] + check_wait_s > now)
        for operator, max_price in rows
        if operator == operator_id
    )
