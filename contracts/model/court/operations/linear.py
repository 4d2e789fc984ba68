"""Shortening a vector, and the product of a matrix with it: partial sums of 64 products, then one shift."""

from dataclasses import dataclass

from contracts.court import numbers as n
from contracts.court.arrays import products
from contracts.court.layout import CourtConfig, Layout, Place
from contracts.model.court.operations.base import Operation, Rule, Spot, element, largest, sums
from contracts.model.court.reading import Reader


@dataclass(frozen=True)
class Product:
    """One matrix, and the shortened vector that it is multiplied by.

    Attributes:
        unit: whose `short` it is; `stage` turns layer and position into that unit's place.
        fraction, out_fraction: fraction bits of the vector before it was shortened, and of what comes out.
    """

    matrix: str
    unit: str
    fraction: int
    out_fraction: int

    def source(self, place: Place) -> Place:
        """The place of the unit whose vector a sheet of the matrix is multiplied by, from (layer, position)."""
        layer, position = place[0], place[1]
        if self.unit in ("norm", "entry"):
            return (2 * layer + (self.matrix != "qkv"), position)
        return (layer, position)


def products_of(config: CourtConfig) -> dict[str, Product]:
    """Each product of a family, by its matrix."""
    entry, entering = ("entry", n.RESIDUAL_FRACTION) if config.encoder else ("norm", n.NORMED_FRACTION)
    found = [
        Product("qkv", entry, entering, n.HEAD_FRACTION),
        Product("attention_out", "joined", n.MIXED_FRACTION, n.RESIDUAL_FRACTION),
        Product("up" if config.encoder else "gate_up", entry, entering, n.HEAD_FRACTION),
        Product("down", "gate", n.GATED_FRACTION, n.RESIDUAL_FRACTION),
    ]
    if not config.encoder:
        found.append(Product("head", "final", n.NORMED_FRACTION, n.LOGIT_FRACTION))
    return {one.matrix: one for one in found}


def linear(r: Reader, matrix: str, place: Place, output: int) -> int:
    """One output of a product at (layer, position), plus its bias: before anything is added or saturated."""
    product = products_of(r.config)[matrix]
    multiplier, bias, exponent = r.row(f"{stored(r.config, matrix)}.scale", place[:1], output)
    total = r.total(f"{matrix}_sums.sum", (*place, output), 0, products(r.config)[matrix][2])
    taken = r.one(f"{product.unit}.short_exponent", product.source(place))
    shift = exponent + product.fraction - product.out_fraction - taken
    return n.fits(n.halved(n.fits(total * multiplier), shift) + bias)


def stored(config: CourtConfig, matrix: str) -> str:
    """The name under which the file has a matrix: a tied head is the embedding."""
    return "embedding" if matrix == "head" and config.tied else matrix


def partial_sums(layout: Layout) -> list[Operation]:
    """The partial sums of every product."""

    def of(product: Product, inputs: int) -> list[Operation]:
        def terms(r: Reader, at: Spot) -> list[int]:
            layer, position, output = at.place
            weights = r.block(f"{stored(r.config, product.matrix)}.weight", (layer,), output, at.column)
            short = r.block(f"{product.unit}.short", product.source((layer, position)), 0, at.column)
            return [weight * value for weight, value in zip(weights, short, strict=True)]

        return sums(f"{product.matrix}_sums.sum", inputs, terms)

    sizes = products(layout.text.config)
    return [one for name, product in products_of(layout.text.config).items() for one in of(product, sizes[name][2])]


def shortened(unit: str, value: Rule, width: int) -> list[Operation]:
    """A unit's vector, shortened to 15 bits: exponent, witness, integers. `value` is its element `at.other`."""
    return [
        *largest(
            f"{unit}.short_exponent",
            lambda r, at: n.excess(value(r, at), n.ACTIVATION_BITS),
            lambda layout, at: width,
        ),
        element(
            f"{unit}.short",
            lambda r, at: n.shortened(
                value(r, Spot(at.place, other=at.column)), n.ACTIVATION_BITS, r.one(f"{unit}.short_exponent", at.place)
            ),
        ),
    ]
