"""The golden vectors against independent implementations: eth-account's EIP-712 encoder and eth-keys' recovery."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

import contracts.vectors.make as make
from contracts.protocol.errors import BadSignature
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.merkle import merkle_verify
from contracts.protocol.packing import bits, unpack
from contracts.protocol.signing import expand, recover

FOLDER = Path(make.__file__).parent


def cases(name: str) -> Iterator[dict[str, Any]]:
    columns = json.loads((FOLDER / f"{name}.json").read_text())[name]
    keys = list(columns)
    return (dict(zip(keys, row, strict=True)) for row in zip(*columns.values(), strict=True))


def count(name: str) -> int:
    """Cases of one file; of a story each row and each leaf's outcome, which forge does not fold."""
    if name != "stories":
        return len(list(cases(name)))
    stories = json.loads((FOLDER / "stories.json").read_text())["stories"]
    return sum(len(story["samples"]) + len(story["outcomes"]) for story in stories)


def test_the_files_are_what_the_code_makes_and_there_are_at_least_400_cases() -> None:
    """Protects: committed vectors that silently differ from the code."""
    assert [name for name in make.FILES if (FOLDER / f"{name}.json").read_text() != make.render(name)] == []
    assert sum(map(count, make.FILES)) >= 400


@pytest.mark.parametrize(
    "readers",
    [["contracts/test/Vectors.t.sol"], ["tests/browser/test_agreement.py", "tests/browser/test_record.py"]],
    ids=["Solidity", "JavaScript"],
)
def test_the_other_languages_read_at_least_400_cases(readers: list[str]) -> None:
    """Protects: a file of vectors that one language's tests no longer load."""
    texts = [(FOLDER.parents[1] / reader).read_text() for reader in readers]
    loaded = {name for text in texts for name in re.findall(r'(?:load\("|columns\("|/ ")(\w+)(?:"\)|\.json")', text)}
    assert sum(map(count, loaded)) >= 400


TERMS = [
    ("workloadId", "bytes32"), ("promptRoot", "bytes32"), ("textsHash", "bytes32"), ("params", "Params"),
    ("comparator", "uint8"), ("copies", "uint8"), ("visibility", "uint8"), ("fixedPrice", "uint64"),
    ("unitPrice", "uint64"), ("maxPrice", "uint64"), ("deadline", "uint40"), ("salt", "uint64"),
]  # fmt: skip
PARAMS = [("maxNewTokens", "uint32"), ("temperatureMilli", "uint32"), ("topPPpm", "uint32"), ("seed", "uint64")]
TYPES = {
    "orders": ("Order", [("requester", "address"), ("spendCap", "uint64"), ("terms", "Terms")]),
    "commitments": (
        "Commitment",
        [
            ("orderId", "bytes32"),
            ("node", "address"),
            ("outputRoot", "bytes32"),
            ("traceCommit", "bytes32"),
            ("units", "uint32"),
        ],
    ),
    "verdicts": ("Verdict", [("commitmentDigest", "bytes32"), ("verifier", "address"), ("answerCommit", "bytes32")]),
    "lane_grants": (
        "LaneGrant",
        [
            ("requester", "address"),
            ("signer", "address"),
            ("amount", "uint64"),
            ("expiry", "uint40"),
            ("nonce", "uint256"),
        ],
    ),
    "node_keys": ("NodeKey", [("owner", "address"), ("node", "address")]),
}


def _value(kind: str, value: Any) -> Any:
    if kind.startswith("bytes"):
        return from_hex(value)
    return int(value) if kind.startswith("uint") else value


def _with_eth_account(name: str, case: dict[str, Any]) -> bytes:
    primary, fields = TYPES[name]
    message = {key: _value(kind, case[key]) for key, kind in fields if kind != "Terms"}
    types = {primary: [{"name": key, "type": kind} for key, kind in fields]}
    if name == "orders":
        types["Terms"] = [{"name": key, "type": kind} for key, kind in TERMS]
        types["Params"] = [{"name": key, "type": kind} for key, kind in PARAMS]
        message["terms"] = {key: _value(kind, case[key]) for key, kind in TERMS if kind != "Params"}
        message["terms"]["params"] = {key: _value(kind, case[key]) for key, kind in PARAMS}
    domain = {
        "name": "Assay",
        "version": "2",
        "chainId": int(case["chainId"]),
        "verifyingContract": case["verifyingContract"],
    }
    signable = encode_typed_data(domain_data=domain, message_types=types, message_data=message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@pytest.mark.parametrize("name", list(TYPES))
def test_typed_data_digests_equal_eth_accounts(name: str) -> None:
    """Protects: hand-packed EIP-712 that no wallet would reproduce."""
    for case in cases(name):
        assert to_hex(_with_eth_account(name, case)) == case["digest"]


def test_signatures_recover_or_are_refused() -> None:
    """A malleable signature (high s) is refused, never read as somebody's. Covers: A20"""
    refused = 0
    for case in cases("signatures"):
        digest = from_hex(case["digest"])
        if case["signer"] == "0x" + "00" * 20:
            refused += 1
            with pytest.raises(BadSignature, match="high s"):
                recover(digest, case["signature"])
        else:
            assert recover(digest, case["signature"]) == case["signer"]
            assert expand(from_hex(case["r"]), from_hex(case["vs"])) == case["signature"]
    assert refused >= 3


def test_tree_proofs_hold_only_at_their_own_index() -> None:
    """Protects: a leaf shown at another position. Covers: A24"""
    for case in cases("trees"):
        leaves, siblings = _words(case["leaves"]), _words(case["siblings"])
        root, index, count = from_hex(case["root"]), case["index"], case["count"]
        assert merkle_verify(leaves[index], index, count, siblings, root)
        for other in range(count):
            if other != index:
                assert not merkle_verify(leaves[index], other, count, siblings, root)
        if count > 1 and index ^ 1 < count:
            pair = leaves[index & ~1] + leaves[index | 1]
            assert not merkle_verify(keccak(pair), index, count, siblings, root)
            assert not merkle_verify(keccak(pair), index // 2, count, siblings[1:], root)


def test_packed_epochs_unpack_to_their_rows() -> None:
    """Protects: packing and unpacking that disagree on a byte."""
    for case in cases("epochs"):
        epoch = unpack(from_hex(case["packed"]), case["count"])
        assert to_hex(make.merkle_root([row.leaf() for row in epoch.rows])) == case["root"]
        assert to_hex(bits(epoch.void, case["count"])) == case["voidBits"]


def _words(text: str) -> list[bytes]:
    raw = from_hex(text)
    return [raw[i : i + 32] for i in range(0, len(raw), 32)]
