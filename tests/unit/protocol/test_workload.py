"""A workload's id: the struct that the chain can open, with the manifest beside it."""

import pytest
from eth_abi.abi import encode
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from contracts.protocol.errors import NotCanonical
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import list_root
from contracts.protocol.workload import engine_name
from tests.unit.protocol.test_vectors import cases
from tests.world.node_fakes import fake_manifest


def with_eth_account(manifest: Manifest) -> str:
    """The struct hash by eth-account's encoder: that of a message in a domain, without the domain."""
    ids = {name: list_root(encode_words(given)) for name, given in (
        ("before", manifest.template.before), ("after", manifest.template.after), ("stops", sorted(manifest.stops)),
    )}  # fmt: skip
    d = manifest.deterrence
    message = {
        "modelRoot": from_hex(manifest.model_root or "0x" + "00" * 32),
        "engine": f"{manifest.engine}/{manifest.engine_version}".encode().ljust(32, b"\0"),
        "comparator": {"exact": 1, "native": 2}[manifest.comparator],
        "meter": {"new_tokens": 1, "input_tokens": 2}[manifest.meter],
        "maxTexts": manifest.input.max_texts,
        "maxTokens": manifest.input.max_tokens,
        **ids,
        "checkPrice": manifest.check_price_units,
        "deterrence": {
            "honestCostPpm": d.honest_cost_ppm, "cheatCostPpm": d.cheat_cost_ppm, "detectionPpm": d.detection_ppm,
            "collusionPpm": d.collusion_ppm, "falseAlarmPpm": d.false_alarm_ppm,
        },
        "manifestHash": keccak(manifest.canonical()),
    }  # fmt: skip
    kinds = ["bytes32", "bytes32", "uint8", "uint8", "uint32", "uint32", "bytes32", "bytes32", "bytes32", "uint64",
             "Deterrence", "bytes32"]  # fmt: skip
    types = {
        "Workload": [{"name": name, "type": kind} for name, kind in zip(message, kinds, strict=True)],
        "Deterrence": [{"name": name, "type": "uint32"} for name in message["deterrence"]],
    }
    signable = encode_typed_data(domain_data={"name": "x"}, message_types=types, message_data=message)
    return to_hex(signable.body)


def encode_words(ids: tuple[int, ...] | list[int]) -> bytes:
    return b"".join(encode(["uint32"], [each])[-4:] for each in ids)


def test_ids_are_eth_accounts_struct_hashes() -> None:
    """Protects the name under which orders are signed: anybody's EIP-712 encoder comes to it from the manifest."""
    found = list(cases("workloads"))
    assert found
    for case in found:
        manifest = Manifest.model_validate_json(case["manifest"])
        assert with_eth_account(manifest) == manifest.workload_id() == case["workloadId"]


@pytest.mark.parametrize(
    "change",
    [
        {"stops": (2,)}, {"template": {"before": (5,), "after": ()}}, {"engine_version": "other"},
        {"engine": "exact", "model_root": "0x" + "11" * 32}, {"check_price_units": 9}, {"unit": "another word"},
        {"model": "another"},
    ],
)  # fmt: skip
def test_every_change_is_another_workload(change: dict[str, object]) -> None:
    """What stands in the struct and what only the manifest says are both bound. Covers: A46"""
    manifest = fake_manifest()
    changed = Manifest.model_validate(manifest.model_dump() | change)
    assert changed.workload_id() != manifest.workload_id()


def test_an_engine_has_a_short_name() -> None:
    """Protects: two engines whose names are cut to the same 32 bytes."""
    assert engine_name("exact", "2") == b"exact/2" + bytes(25)
    with pytest.raises(NotCanonical, match="32 bytes"):
        engine_name("exact", "9" * 40)
    with pytest.raises(ValueError, match="32 bytes"):
        Manifest.model_validate(fake_manifest().model_dump() | {"engine_version": "9" * 40})
