"""What can be wrong with a record of the protocol.

ProtocolError
├── NotCanonical        a value has no canonical JSON
├── BadSignature        not 65 bytes, high s, v not 27 or 28, or nobody's
├── OutOfRange          a number that its field cannot carry
├── MalformedEpoch      packed bytes that are not an epoch
└── UnknownLogEntry     a line of the published log of no known kind
"""


class ProtocolError(ValueError):
    """Base. `code` is for machines, the message names the value and the way out."""

    code = "protocol_error"


class NotCanonical(ProtocolError):
    code = "not_canonical"

    def __init__(self, *, path: str, value: str, why: str) -> None:
        super().__init__(f"{path}: {value} {why}")


class BadSignature(ProtocolError):
    code = "bad_signature"

    def __init__(self, why: str) -> None:
        super().__init__(f"signature {why}; sign the EIP-712 digest again with the account that is named as signer")


class OutOfRange(ProtocolError):
    code = "out_of_range"

    def __init__(self, *, name: str, value: int, low: int, high: int) -> None:
        super().__init__(f"{name} = {value} is outside {low}..{high}")


class MalformedEpoch(ProtocolError):
    code = "malformed_epoch"

    def __init__(self, why: str, *, offset: int) -> None:
        self.offset = offset
        super().__init__(f"packed epoch: {why} at byte {offset}")


class UnknownLogEntry(ProtocolError):
    code = "unknown_log_entry"

    def __init__(self, kind: object) -> None:
        super().__init__(f"log entry of kind {kind!r}; known kinds are in contracts.protocol.log")
