"""Calldata, answers and logs are web3's, which shares no code with `contracts/onchain/contract.py` but eth_abi."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st
from web3 import Web3
from web3.providers.base import BaseProvider

from contracts.onchain.artifacts import CONTRACTS, artifact
from contracts.onchain.contract import ContractCall, event_values, kind, topic
from contracts.onchain.errors import BadArguments, UnknownCall, WrongReply
from contracts.onchain.eth import Eth
from contracts.protocol.hashing import keccak
from tests.world.soak import short_or_long

ADDRESS = "0x" + "11" * 20
NAMES = (*CONTRACTS, "DevWallet")
FUNCTIONS = [(name, item) for name in NAMES for item in artifact(name).abi if item["type"] == "function"]
EVENTS = [(name, item) for name in NAMES for item in artifact(name).abi if item["type"] == "event"]
A_TYPE = short_or_long(6, 100)
"""Examples of each function and event."""


class Fixed(BaseProvider):
    """Answers every call with the same bytes."""

    reply = b""

    def make_request(self, method: Any, params: Any) -> Any:
        return {"jsonrpc": "2.0", "id": 1, "result": "0x" + self.reply.hex()}

    def request(self, method: str, *params: Any) -> Any:
        """As our Rpc has it."""
        return self.make_request(method, params)["result"]

    endpoint = "the endpoint"


FIXED = Fixed()
THEIRS, OURS = Web3(FIXED), Eth(FIXED)  # type: ignore[arg-type]  # it has what Eth asks for


def values(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a type, as both sides take them."""
    declared = part["type"]
    if declared.endswith("[]"):
        return st.lists(values({**part, "type": declared[:-2]}), max_size=3)
    if declared == "tuple":
        return st.tuples(*map(values, part["components"]))
    if declared == "address":
        return st.binary(min_size=20, max_size=20).map(to_checksum_address)
    if declared == "bool":
        return st.booleans()
    if declared == "string":
        return st.text(max_size=40)
    if declared == "bytes":
        return st.binary(max_size=70)
    if declared.startswith("bytes"):
        return st.binary(min_size=int(declared[5:]), max_size=int(declared[5:]))
    assert declared.startswith("uint"), declared
    return st.integers(0, 2 ** int(declared[4:]) - 1)


def plainly(value: Any) -> Any:
    """Values without either side's classes; structs by their fields' names."""
    if hasattr(value, "_asdict") or isinstance(value, dict):
        fields = value if isinstance(value, dict) else value._asdict()
        return {name: plainly(each) for name, each in fields.items()}
    if isinstance(value, list | tuple):
        return [plainly(each) for each in value]
    return bytes(value) if isinstance(value, bytes) else value


def test_every_function_of_every_contract_is_looked_at() -> None:
    """Protects: a loop over nothing below."""
    assert (len(FUNCTIONS), len(EVENTS)) > (150, 40)


@settings(max_examples=A_TYPE * len(FUNCTIONS) // 4)
@given(st.data())
def test_calldata_and_results_are_web3s(data: st.DataObject) -> None:
    """Protects: an argument, a struct's field or an array that is encoded, decoded or named otherwise."""
    name, item = data.draw(st.sampled_from(FUNCTIONS))
    arguments = data.draw(st.tuples(*map(values, item["inputs"])))
    theirs = THEIRS.eth.contract(address=to_checksum_address(ADDRESS), abi=artifact(name).abi, decode_tuples=True)
    ours = OURS.contract(address=ADDRESS, abi=artifact(name).abi)
    call: ContractCall = ours.functions[item["name"]](*arguments)
    assert call.data == theirs.encode_abi(item["name"], list(arguments))
    function, read = ours.decode_function_input(bytes.fromhex(call.data[2:]))
    _, expected = theirs.decode_function_input(call.data)  # type: ignore[arg-type]  # its HexStr
    assert function == item["name"]
    named = [part["name"] for part in item["inputs"]]
    assert [plainly(read[each]) for each in named] == [plainly(expected[each]) for each in named]
    results = data.draw(st.tuples(*map(values, item["outputs"])))
    FIXED.reply = encode([kind(part) for part in item["outputs"]], results)
    if item["outputs"]:
        assert plainly(call.call()) == plainly(theirs.functions[item["name"]](*arguments).call())


@settings(max_examples=A_TYPE * len(EVENTS) // 2)
@given(st.data())
def test_events_are_web3s(data: st.DataObject) -> None:
    """Protects: a log read otherwise than everybody else reads it."""
    name, item = data.draw(st.sampled_from(EVENTS))
    given_values = data.draw(st.tuples(*map(values, item["inputs"])))
    pairs = list(zip(item["inputs"], given_values, strict=True))
    topics = [topic(item)] + [encode([kind(p)], [v]) for p, v in pairs if p["indexed"]]
    plain = [(kind(part), value) for part, value in pairs if not part["indexed"]]
    payload = encode([each for each, _ in plain], [value for _, value in plain])
    log: dict[str, Any] = {
        "address": to_checksum_address(ADDRESS), "topics": topics, "data": payload,
        "blockNumber": 1, "blockHash": bytes(32), "transactionHash": bytes(32), "transactionIndex": 0, "logIndex": 0,
    }  # fmt: skip
    theirs = THEIRS.eth.contract(address=to_checksum_address(ADDRESS), abi=artifact(name).abi)
    expected = theirs.events[item["name"]]().process_log(log)["args"]  # type: ignore[arg-type]
    lowered = {k: v.lower() if isinstance(v, str) else plainly(v) for k, v in expected.items()}
    assert event_values(item, log) == lowered
    with pytest.raises(Exception, match="indexed values"):
        event_values(item, {**log, "topics": [*topics, bytes(32)]})


def test_an_indexed_value_of_any_length_is_its_hash() -> None:
    """Protects: a log with an indexed text that ends the reading of all. No event of ours has one yet."""
    parts = [
        {"name": "name", "type": "string", "indexed": True, "internalType": "string"},
        {"name": "units", "type": "uint64", "indexed": False, "internalType": "uint64"},
    ]
    item = {"type": "event", "name": "Named", "inputs": parts, "anonymous": False}
    log: dict[str, Any] = {
        "address": to_checksum_address(ADDRESS), "topics": [topic(item), keccak(b"a name")],
        "data": (7).to_bytes(32, "big"),
        "blockNumber": 1, "blockHash": bytes(32), "transactionHash": bytes(32), "transactionIndex": 0, "logIndex": 0,
    }  # fmt: skip
    theirs = THEIRS.eth.contract(address=to_checksum_address(ADDRESS), abi=[item])  # type: ignore[list-item]
    expected = theirs.events["Named"]().process_log(log)["args"]  # type: ignore[arg-type]
    assert event_values(item, log) == plainly(dict(expected)) == {"name": keccak(b"a name"), "units": 7}


def test_values_that_do_not_fit_are_refused_before_anything_is_sent() -> None:
    """Protects: a hash that is padded, a number that is cut, an address with a typing mistake."""
    escrow = OURS.contract(address=ADDRESS, abi=artifact("JobEscrow").abi).functions
    wrong: list[tuple[Any, ...]] = [
        (ADDRESS,), (ADDRESS, ADDRESS, 2**64), (ADDRESS, ADDRESS, -1), (ADDRESS, ADDRESS, "1"),
        (ADDRESS, ADDRESS, True),
        (ADDRESS[:-1], ADDRESS, 1), ("0xAb" + "ab" * 19, ADDRESS, 1), (ADDRESS, None, 1),
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(BadArguments):
            escrow.deposit(*arguments)
    court = OURS.contract(address=ADDRESS, abi=artifact("SlashingCourt").abi).functions
    for case_id in (bytes(31), bytes(33), "0x" + "11" * 31, "11" * 32, b"", 5):
        with pytest.raises(BadArguments):
            court.ruling(case_id)
    assert court.ruling("0x" + "11" * 32).data == court.ruling(b"\x11" * 32).data


def test_bytes_that_are_no_call_or_no_result_are_told() -> None:
    """Protects: a trace where somebody called through another contract, or an endpoint answered nonsense."""
    escrow = OURS.contract(address=ADDRESS, abi=artifact("JobEscrow").abi)
    whole = bytes.fromhex(escrow.encode_abi("deposit", [ADDRESS, ADDRESS, 1])[2:])
    for calldata in (b"", b"\1\2\3\4", whole[:-1], whole[:4]):
        with pytest.raises(UnknownCall):
            escrow.decode_function_input(calldata)
    for reply in (b"", b"\0", bytes(31), b"\xff" * 32):
        FIXED.reply = reply
        with pytest.raises(WrongReply):
            escrow.functions.settler().call()
