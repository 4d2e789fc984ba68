"""A workload's id: the hash of a struct that the chain can open, which includes the manifest's hash (SPEC 3).

    Workload(bytes32 modelRoot,bytes32 engine,uint8 comparator,uint8 meter,uint32 maxTexts,uint32 maxTokens,
             bytes32 before,bytes32 after,bytes32 stops,uint64 checkPrice,Deterrence deterrence,bytes32 manifestHash)

`engine` is "name/version" in ASCII, padded with zero bytes on the right. `before`, `after` and `stops` are list digests
of packed ids (`packed.list_root`), the stops ascending. `manifestHash` is keccak256 of the canonical manifest, which
has all of this in readable form, and more. `modelRoot` covers the model's configuration (COURT.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import NotCanonical
from contracts.protocol.hashing import ZERO32, from_hex, keccak
from contracts.protocol.packed import list_root
from contracts.protocol.records import COMPARATORS

if TYPE_CHECKING:
    from contracts.protocol.manifest import Manifest

DETERRENCE_TYPE = (
    "Deterrence(uint32 honestCostPpm,uint32 cheatCostPpm,uint32 detectionPpm,uint32 collusionPpm,uint32 falseAlarmPpm)"
)
WORKLOAD_TYPE = (
    "Workload(bytes32 modelRoot,bytes32 engine,uint8 comparator,uint8 meter,uint32 maxTexts,uint32 maxTokens,"
    "bytes32 before,bytes32 after,bytes32 stops,uint64 checkPrice,Deterrence deterrence,bytes32 manifestHash)"
) + DETERRENCE_TYPE
METERS = {"new_tokens": 1, "input_tokens": 2}
ENGINE_BYTES = 32

_WORKLOAD_HASH, _DETERRENCE_HASH = keccak(WORKLOAD_TYPE.encode()), keccak(DETERRENCE_TYPE.encode())


def workload_id(manifest: Manifest) -> bytes:
    """The 32 bytes that name a workload in orders."""
    return keccak(_WORKLOAD_HASH + encode_workload(manifest))


def encode_workload(manifest: Manifest) -> bytes:
    """The struct's fields, 32 bytes each, without the type hash."""
    m, d = manifest, manifest.deterrence
    deterrence = _DETERRENCE_HASH + _words(
        d.honest_cost_ppm, d.cheat_cost_ppm, d.detection_ppm, d.collusion_ppm, d.false_alarm_ppm
    )
    root = ZERO32 if m.model_root is None else from_hex(m.model_root)
    numbers = _words(COMPARATORS[m.comparator], METERS[m.meter], m.input.max_texts, m.input.max_tokens)
    lists = _ids(m.template.before) + _ids(m.template.after) + _ids(sorted(m.stops))
    return (
        root + engine_name(m.engine, m.engine_version) + numbers + lists
        + _words(m.check_price_units) + keccak(deterrence) + keccak(canonical_json(m.model_dump(mode="json")))
    )  # fmt: skip


def engine_name(engine: str, version: str) -> bytes:
    """An engine and its version in 32 bytes. Raises NotCanonical for longer ones."""
    text = f"{engine}/{version}".encode()
    if len(text) > ENGINE_BYTES or not text.isascii():
        raise NotCanonical(path="engine", value=repr(text), why=f"has more than {ENGINE_BYTES} bytes of ASCII")
    return text.ljust(ENGINE_BYTES, b"\0")


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def _ids(ids: Sequence[int]) -> bytes:
    return list_root(b"".join(each.to_bytes(4, "big") for each in ids))
