"""The configuration of `assay deploy`: what is wrong is named by its key, and the same decisions are one network."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from contracts.onchain.founding import difference, steps
from contracts.onchain.origin import PARTS, DeploymentPlan, create2
from contracts.protocol.constants import PRODUCTION
from contracts.protocol.hashing import keccak
from deploy.deploying.config import EXAMPLE, Config
from deploy.deploying.errors import BadConfig

A, B, C = ("0x" + digit * 40 for digit in "abc")
GOOD: dict[str, Any] = {
    "chain_id": 1, "token": A, "settler": B, "treasury": C, "guardian": A, "beacon_anchor": "0x" + "11" * 32,
    "constants": "production", "governor": {"proposers": [B]},
}  # fmt: skip


def load(folder: Path, data: dict[str, Any]) -> Config:
    file = folder / "network.json"
    file.write_text(json.dumps(data))
    return Config.load(file)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"chain_id": "1"}, "chain_id = '1': Input should be a valid integer"),
        ({"chain_id": 0}, "chain_id = '0': Input should be greater than 0"),
        ({"token": A[:-1]}, "token = '0xaaa"),
        ({"token": "0x" + "00" * 20}, r"token = .*is the zero address"),
        ({"settler": "0x" + to_checksum_address(B)[2:].swapcase()}, "settler = .*checksum"),
        ({"beacon_anchor": "0x11"}, "beacon_anchor = '0x11'"),
        ({"constants": "prod"}, "constants = 'prod': Input should be 'production' or 'development'"),
        ({"constnats": "production"}, "constnats = 'production': Extra inputs are not permitted"),
        ({"governor": {"proposers": []}}, "governor.proposers = .*at least 1 item"),
        ({"governor": {"proposers": [B], "admin": B}}, "governor.admin"),
        ({"verifiers": [{"owner": A}]}, "verifiers.0.key: Field required"),
        ({"overrides": {"fee_bsp": 1}}, "overrides.fee_bsp is no constant; they are answer_window_s"),
        ({"overrides": {"fee_bps": 10_000}}, "fee_bps = '10000': Input should be less than 10000"),
        ({"overrides": {"fee_bps": 1.5}}, "overrides.fee_bps = '1.5'"),
        ({"overrides": {"notice_s": 50_400}}, "notice_s = 50400 must be more than .* = 50400"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    """The file, the key, the value, and what it should be."""
    with pytest.raises(BadConfig, match=why) as error:
        load(tmp_path, GOOD | change)
    assert str(error.value).startswith(str(tmp_path / "network.json"))


def test_a_key_that_is_missing_a_file_that_is_missing_or_no_toml(tmp_path: Path) -> None:
    """Each with its own words."""
    with pytest.raises(BadConfig, match="guardian: Field required"):
        load(tmp_path, {key: value for key, value in GOOD.items() if key != "guardian"})
    with pytest.raises(BadConfig, match="No such file"):
        Config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("chain_id = \n")
    with pytest.raises(BadConfig, match="line 1"):
        Config.load(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfig, match="decode"):
        Config.load(tmp_path / "bad.toml")


def test_the_example_is_one(tmp_path: Path) -> None:
    """Filled in, it loads; and every key that there is stands in it."""
    file = tmp_path / "network.toml"
    file.write_text(EXAMPLE.replace('"0x…"           # what', f'"0x{"11" * 32}" # what').replace("0x…", A))
    config = Config.load(file)
    assert set(config.model_dump()) == set(config.model_fields_set)
    assert set(config.governor.model_dump()) == set(config.governor.model_fields_set)
    assert config.network().constants == PRODUCTION


def test_the_same_decisions_have_one_digest_and_one_network(tmp_path: Path) -> None:
    """However they are written: TOML or JSON, any order, any case of an address. Covers: A18"""
    written = load(tmp_path, GOOD)
    (tmp_path / "other.toml").write_text(
        f'constants = "production"\nguardian = "{A}"\ntreasury = "{to_checksum_address(C)}"\nsettler = "{B}"\n'
        f'token = "{to_checksum_address(A)}"\nbeacon_anchor = "0x{"11" * 32}"\nchain_id = 1\n'
        f'[governor]\nproposers = ["{B}"]\n'
    )
    other = Config.load(tmp_path / "other.toml")
    assert other.digest() == written.digest()
    assert DeploymentPlan(other.network()).addresses == DeploymentPlan(written.network()).addresses


@pytest.mark.parametrize(
    "change",
    [
        {"token": B}, {"settler": A}, {"treasury": A}, {"guardian": B}, {"beacon_anchor": "0x" + "12" * 32},
        {"constants": "development"}, {"overrides": {"fee_bps": 7}}, {"governor": {"proposers": [A]}},
        {"governor": {"proposers": [B], "executors": [A]}}, {"salt": "another"}, {"overrides": {"timelock_s": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_any_other_decision_is_another_network(tmp_path: Path, change: dict[str, Any]) -> None:
    """No address is shared by two networks that differ, so code at an address says what it is. Covers: A18, A28"""
    first, second = (
        DeploymentPlan(load(tmp_path, GOOD).network()),
        DeploymentPlan(load(tmp_path, GOOD | change).network()),
    )
    assert not set(first.addresses.values()) & set(second.addresses.values())


def test_the_chain_is_not_part_of_the_addresses(tmp_path: Path) -> None:
    """One configuration has the same addresses everywhere; signatures are told apart by the chain id. Covers: A17"""
    here, there = load(tmp_path, GOOD), load(tmp_path, GOOD | {"chain_id": 5})
    plan = DeploymentPlan(here.network())
    assert plan.addresses == DeploymentPlan(there.network()).addresses
    assert here.digest() != there.digest()
    assert difference("JobEscrow", plan.runtime("JobEscrow", 1), plan.runtime("JobEscrow", 5)).startswith(
        "_cachedChainId is 5, not 1, _cachedDomainSeparator is 0x"
    )


def test_every_part_has_its_step_and_its_place(tmp_path: Path) -> None:
    """Origin, then the parts, each at its own address and with all its immutables known."""
    plan = DeploymentPlan(load(tmp_path, GOOD).network())
    assert [step.name for step in steps(plan, 1)] == ["Origin", *PARTS]
    assert len({step.address for step in steps(plan, 1)}) == len(PARTS) + 1


@pytest.mark.parametrize(
    ("creator", "salt", "code", "address"),
    [
        ("00" * 20, "00" * 32, "00", "4d1a2e2bb4f88f0250f26ffff098b0b30b26bf38"),
        ("deadbeef" + "00" * 16, "00" * 32, "00", "b928f69bb1d91cd65274e3c79d8986362984fda3"),
        ("00000000000000000000000000000000deadbeef", "00" * 28 + "cafebabe", "deadbeef",
         "60f3f640a8508fc6a86d45df051962668e1e8ac7"),
        ("00" * 20, "00" * 32, "", "e33c0c7f7df4809055c3eba6c09cfe4baf1bd9e0"),
    ],
)  # fmt: skip
def test_create2_gives_the_addresses_of_its_eip(creator: str, salt: str, code: str, address: str) -> None:
    """EIP-1014's own examples. What Create3 adds is held by what the chains answer (tests/integration/chain)."""
    assert create2(f"0x{creator}", bytes.fromhex(salt), keccak(bytes.fromhex(code))) == f"0x{address}"
