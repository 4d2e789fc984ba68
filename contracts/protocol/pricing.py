"""What a job costs and what its operator is credited. Integers in units of the token (SPEC sections 3 and 6)."""

from contracts.protocol.records import Terms

BPS = 10_000


def amount_units(terms: Terms, units: int) -> int:
    """min(maxPrice, fixedPrice + units * unitPrice)."""
    return min(terms.max_price, terms.fixed_price + units * terms.unit_price)


def fee_units(gross_units: int, fee_bps: int) -> int:
    """What of an operator's gross goes to the fees: floor(gross * bps / 10000)."""
    return gross_units * fee_bps // BPS


def spend_cap_units(charged_units: int, open_max_units: int, max_price_units: int) -> int:
    """The cap that an order must carry: all that was charged, all that may still be charged, and this order."""
    return charged_units + open_max_units + max_price_units
