"""The base of every error of the project, and the errors of the protocol's records.

AssayError             `code`, `message`, `way_out`, `values`

ProtocolError
├── NotCanonical        a value without canonical JSON
├── BadAmount           an amount of tokens that is malformed, too small, or too fine
├── BadTexts            an input that is not a canonical list of texts within its workload's limits
├── NotPacked           bytes that are not packed lists of 32-bit words
├── WrongTokenizer      a tokenizer file other than the manifest's
├── BadSignature        not 65 bytes, high s, v not 27 or 28, or of no key
├── OutOfRange          a number that does not fit its field
├── MalformedEpoch      packed bytes that are not an epoch
├── BadFingerprint      fingerprints of different tokens
└── UnknownLogEntry     a line of the published log of no known kind
"""

import re
from collections.abc import Mapping
from inspect import signature
from typing import Self

from pydantic import ValidationError


class AssayError(Exception):
    """Base of every error of the project. `str()` is the message, followed by the way out.

    Attributes:
        code: stable, machine-readable name of the kind: by default the class's name in snake case.
        message: what is wrong, with the offending values.
        way_out: what to do; empty if there is nothing to do.
        values: the constructor's arguments by name.
    """

    code: str = "assay_error"
    values: Mapping[str, object]

    def __init_subclass__(cls) -> None:
        if "code" not in vars(cls) and not cls.__name__.startswith("_"):
            cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def __new__(cls, *args: object, **named: object) -> Self:
        error = super().__new__(cls, *args)
        given = dict(signature(cls.__init__).bind(error, *args, **named).arguments)
        given |= given.pop("values", {})
        error.values = {name: value for name, value in given.items() if name not in ("self", "message", "way_out")}
        return error

    def __init__(self, message: str, *, way_out: str = "", **values: object) -> None:
        self.message, self.way_out = message, way_out
        joint = " " if message.endswith((".", ":", "?", "!")) else "; "
        super().__init__(f"{message}{joint}{way_out}" if way_out else message)


def first_fault(error: ValidationError) -> str:
    """The first field that a record does not take, with its value, or why the whole is refused, in one line."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(map(str, fault["loc"])) or "the whole"
    value = "" if fault["type"] == "missing" or not fault["loc"] else f" = {str(fault['input'])[:80]!r}"
    return f"{place}{value}: {fault['msg']}"


class ProtocolError(AssayError, ValueError):
    """Base. Also a ValueError, which pydantic reports as a field's error."""


class NotCanonical(ProtocolError):
    def __init__(self, *, path: str, value: str, why: str) -> None:
        super().__init__(f"{path}: {value} {why}")


class BadAmount(ProtocolError):
    def __init__(self, *, text: str, why: str) -> None:
        super().__init__(f"{text!r} {why}")


class BadTexts(ProtocolError):
    def __init__(self, why: str, *, way_out: str = "send a canonical JSON array of texts") -> None:
        self.why = why
        super().__init__(f"the input {why}", way_out=f"{way_out}")


class NotPacked(ProtocolError):
    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"packed words: the value {why}", way_out="pack it with contracts.protocol.packed")


class WrongTokenizer(ProtocolError):
    def __init__(self, why: str) -> None:
        super().__init__(f"the tokenizer {why}", way_out="give the tokenizer.json that the workload's manifest names")


class BadSignature(ProtocolError):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"signature {why}", way_out="sign the EIP-712 digest again with the account that is named as signer"
        )


class OutOfRange(ProtocolError):
    def __init__(self, *, name: str, value: int, low: int, high: int) -> None:
        super().__init__(f"{name} = {value} is outside {low}..{high}")


class MalformedEpoch(ProtocolError):
    def __init__(self, why: str, *, offset: int) -> None:
        self.offset = offset
        super().__init__(f"packed epoch: {why} at byte {offset}")


class BadFingerprint(ProtocolError):
    def __init__(self, *, node_bytes: int, verifier_bytes: int) -> None:
        super().__init__(f"fingerprints of {node_bytes} and {verifier_bytes} bytes are not of the same whole tokens")


class UnknownLogEntry(ProtocolError):
    def __init__(self, kind: object) -> None:
        super().__init__(f"log entry of kind {kind!r}", way_out="known kinds are in contracts.protocol.log")
