"""A job's price and its operator's credit, in units of the token (SPEC sections 3 and 6)."""

from contracts.protocol.records import Terms

BPS = 10_000


def amount_units(terms: Terms, units: int) -> int:
    """min(maxPrice, fixedPrice + units * unitPrice)."""
    return min(terms.max_price, terms.fixed_price + units * terms.unit_price)


def fee_units(gross_units: int, fee_bps: int) -> int:
    """The fee on an operator's gross: floor(gross * bps / 10000)."""
    return gross_units * fee_bps // BPS


def spend_cap_units(charged_units: int, open_max_units: int, max_price_units: int) -> int:
    """The spend cap of the next order: what was charged, what open orders may still charge, and its own price."""
    return charged_units + open_max_units + max_price_units
