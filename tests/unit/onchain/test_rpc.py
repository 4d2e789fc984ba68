"""An endpoint's bad manners: each failure has its kind, none is taken for another, and no reply ends a program."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from contracts.onchain import rpc
from contracts.onchain.artifacts import artifact
from contracts.onchain.errors import (
    BadRpcUrl,
    ChainError,
    ChainUnavailable,
    EndpointLimited,
    NotKnown,
    RequestRefused,
    Reverted,
    WrongReply,
)
from contracts.onchain.rpc import Rpc

ESCROW = "0x" + "11" * 20
HASH = "0x" + "22" * 32
ADDRESS = "0x" + "33" * 20
BLOCK = {"number": "0x1", "hash": HASH, "parentHash": HASH, "timestamp": "0x5", "transactions": []}
LOG = {
    "address": ESCROW, "topics": [HASH], "data": "0x", "blockNumber": "0x1", "blockHash": HASH,
    "transactionHash": HASH, "logIndex": "0x0",
}  # fmt: skip
RECEIPT = {
    "transactionHash": HASH, "blockNumber": "0x1", "blockHash": HASH, "status": "0x1", "gasUsed": "0x5208",
    "from": ADDRESS, "logs": [LOG],
}  # fmt: skip
TRANSACTION = {"hash": HASH, "from": ADDRESS, "input": "0x", "nonce": "0x0", "value": "0x0", "gas": "0x5208"}

Answer = Callable[[str], httpx.Response]
QUESTIONS: dict[str, tuple[Callable[[Rpc], Any], Any]] = {
    "eth_chainId": (lambda w3: w3.eth.chain_id, "0x1"),
    "eth_blockNumber": (lambda w3: w3.eth.block_number, "0x1"),
    "eth_getBlockByNumber": (lambda w3: w3.eth.get_block("latest"), BLOCK),
    "eth_getTransactionByHash": (lambda w3: w3.eth.get_transaction(HASH), TRANSACTION),
    "eth_getTransactionReceipt": (lambda w3: w3.eth.get_transaction_receipt(HASH), RECEIPT),
    "eth_getLogs": (lambda w3: w3.eth.get_logs({"fromBlock": 0, "toBlock": 1}), [LOG]),
    "eth_getCode": (lambda w3: w3.eth.get_code(ESCROW), "0x00"),
    "eth_getBalance": (lambda w3: w3.eth.get_balance(ESCROW), "0x0"),
    "eth_getTransactionCount": (lambda w3: w3.eth.get_transaction_count(ESCROW), "0x0"),
    "eth_call": (lambda w3: escrow(w3).settler().call(), "0x" + ADDRESS[2:].rjust(64, "0")),
    "eth_estimateGas": (lambda w3: escrow(w3).settler().estimate_gas(), "0x5208"),
    "eth_sendRawTransaction": (lambda w3: w3.eth.send_raw_transaction(b"\2"), HASH),
}
"""Every question of the programs, with an answer of its shape."""


def escrow(w3: Rpc) -> Any:
    return w3.eth.contract(address=ESCROW, abi=artifact("JobEscrow").abi).functions


def endpoint(answer: Answer, asked: list[str] | None = None) -> Rpc:
    """An endpoint that answers so; `asked` gets the methods."""

    def handle(request: httpx.Request) -> httpx.Response:
        method = json.loads(request.content)["method"]
        if asked is not None:
            asked.append(method)
        return answer(request.content.decode())

    return Rpc("http://somewhere.test/secret-key", transport=httpx.MockTransport(handle))


def saying(body: Any, status: int = 200) -> Answer:
    """An answer with this result or error, under the request's own number."""
    return lambda request: httpx.Response(status, json={"jsonrpc": "2.0", "id": json.loads(request)["id"], **body})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before it is asked again."""
    monkeypatch.setattr(rpc, "_PAUSES_S", (0.0, 0.0, 0.0))


@pytest.mark.parametrize("method", QUESTIONS)
@pytest.mark.parametrize("reply", ["null", "''", "'0x'", "'0xzz'", "[]", "{}", "7", "[null]", "{'number': '0x'}", "-1"])
def test_a_reply_of_another_shape_is_the_endpoints_fault(method: str, reply: str) -> None:
    """Protects: a program that a `null`, `0x` or `[]` ends, or that takes it for a value. Covers: A52"""
    ask, good = QUESTIONS[method]
    assert ask(endpoint(saying({"result": good}))) is not None
    wrong = {"null": None}.get(reply, ...)
    result = json.loads(reply.replace("'", '"')) if wrong is ... else None
    empty = (method, reply) in {("eth_getLogs", "[]"), ("eth_getCode", "'0x'")}
    if empty:
        assert not ask(endpoint(saying({"result": result})))
        return
    with pytest.raises(ChainUnavailable) as refused:
        ask(endpoint(saying({"result": result})))
    kinds = {NotKnown, WrongReply} if reply == "null" else {WrongReply}
    assert type(refused.value) in kinds
    assert "secret-key" not in str(refused.value)


@pytest.mark.parametrize("name", ["number", "hash", "parentHash", "timestamp"])
def test_a_record_without_its_fields_is_no_record(name: str) -> None:
    """Protects: half a block believed."""
    for left in ({k: v for k, v in BLOCK.items() if k != name}, {**BLOCK, name: None}, {**BLOCK, name: "0x1z"}):
        with pytest.raises(WrongReply):
            endpoint(saying({"result": left})).eth.get_block(1)


BODIES = {
    "no JSON": b"<html>", "a list": b"[]", "a word": b'"yes"', "nothing": b"", "not UTF-8": b"\xff\xfe",
    "no result": b'{"jsonrpc": "2.0", "id": 1}', "another's answer": b'{"id": 77, "result": "0x1"}',
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_what_is_no_json_rpc_is_a_wrong_reply(body: bytes) -> None:
    """Protects: another server's page, or the answer to another question, taken for a chain."""
    with pytest.raises(WrongReply, match="not as a chain does"):
        endpoint(lambda _: httpx.Response(200, content=body)).request("eth_chainId")


LIMITED = [
    (429, {"result": "0x1"}),
    (200, {"error": {"code": -32005, "message": "daily request count exceeded"}}),
    (200, {"error": {"code": -32000, "message": "Too Many Requests"}}),
    (429, {"error": {"code": -32000, "message": "slow down"}}),
]


@pytest.mark.parametrize(("status", "body"), LIMITED)
@pytest.mark.parametrize("method", ["eth_call", "eth_getLogs", "eth_chainId"])
def test_a_limit_is_no_refusal_of_the_contract(method: str, status: int, body: dict[str, Any]) -> None:
    """Protects: one 429 that says "not this deployment's JobEscrow", or skips a permit."""
    asked: list[str] = []
    with pytest.raises(EndpointLimited):
        QUESTIONS[method][0](endpoint(saying(body, status), asked))
    assert asked == [method] * 4, "it is asked again, and not for ever"


def test_too_wide_a_range_is_a_refusal_that_no_waiting_mends() -> None:
    """Protects: waiting for ever for a query that must be made smaller."""
    body = {"error": {"code": -32005, "message": "query returned more than 10000 results"}}
    with pytest.raises(RequestRefused, match="more than 10000"):
        endpoint(saying(body)).eth.get_logs({"fromBlock": 0, "toBlock": 9})


def test_a_revert_carries_the_contracts_own_error_however_it_is_packed() -> None:
    """Protects: "execution reverted" where the contract said why. nodes pack it in three ways."""
    data = "0x" + "deadbeef" + (5).to_bytes(32, "big").hex() + (7).to_bytes(32, "big").hex()  # of nobody we know
    panic = "0x4e487b71" + (17).to_bytes(32, "big").hex()
    for packed in (panic, {"data": panic}, f"Reverted {panic}"):
        with pytest.raises(Reverted) as refused:
            QUESTIONS["eth_call"][0](endpoint(saying({"error": {"code": 3, "message": "reverted", "data": packed}})))
        assert (refused.value.error, refused.value.arguments) == ("Panic", (17,))
    for packed, words in ((data, "unknown error 0xdeadbeef"), (None, "execution reverted"), (panic[:20], "reverted")):
        body = {"error": {"code": 3, "message": "execution reverted", "data": packed}}
        with pytest.raises(Reverted, match=words):
            QUESTIONS["eth_call"][0](endpoint(saying(body)))


@pytest.mark.parametrize("words", ["insufficient funds for gas", "missing trie node 12", "header not found"])
@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas", "eth_sendRawTransaction"])
def test_what_no_contract_has_seen_is_not_the_contracts_refusal(method: str, words: str) -> None:
    """Protects: "the contract refused" for every JSON-RPC error."""
    with pytest.raises(RequestRefused, match=words) as refused:
        QUESTIONS[method][0](endpoint(saying({"error": {"code": -32000, "message": words}})))
    assert (refused.value.number, refused.value.words) == (-32000, words)
    with pytest.raises(RequestRefused):
        QUESTIONS[method][0](endpoint(saying({"error": {"code": -32000, "message": words}}, 400)))


def test_only_what_runs_a_contract_is_refused_by_one() -> None:
    """Protects: an endpoint's words about its own store taken for a contract's."""
    for method, (ask, _) in QUESTIONS.items():
        kind = Reverted if method in ("eth_call", "eth_estimateGas") else RequestRefused
        with pytest.raises(kind):
            ask(endpoint(saying({"error": {"code": 3, "message": "reverted to an older snapshot"}})))


def test_only_what_asks_is_asked_again_and_only_where_somebody_answered_before() -> None:
    """Protects: a transaction sent twice, a command that waits for a chain that does not run, and a lost connection
    that fails an audit of an hour."""
    down, asked = [False], list[str]()

    def answer(request: str) -> httpx.Response:
        if down[0]:
            raise httpx.ReadError("connection reset")
        return saying({"result": HASH})(request)

    w3 = endpoint(answer, asked)
    down[0] = True
    with pytest.raises(ChainUnavailable):
        w3.request("eth_getCode")
    assert len(asked) == 1
    down[0] = False
    w3.request("eth_getCode")
    down[0] = True
    asked.clear()
    for method, times in (("eth_getCode", 4), ("eth_sendRawTransaction", 1), ("evm_increaseTime", 1)):
        asked.clear()
        with pytest.raises(ChainUnavailable):
            w3.request(method)
        assert len(asked) == times


@pytest.mark.parametrize(
    "url", ["", "localhost:8545", "ftp://a", "http://", "http://a:0", "http://a:99999", "http://[::1"]
)
def test_an_urls_fault_is_told_before_anything_is_asked(url: str) -> None:
    """Protects: a trace where a typing mistake should be named."""
    with pytest.raises(BadRpcUrl):
        Rpc(url)


def test_no_message_shows_the_key_in_an_urls_path() -> None:
    """Protects: an endpoint's key in a log."""

    def unreachable(_: str) -> httpx.Response:
        raise httpx.ConnectError("no route to http://somewhere.test/secret-key")

    answers: list[Answer] = [
        unreachable, saying({"result": None}), saying({"error": {"message": "no"}}), lambda _: httpx.Response(500),
    ]  # fmt: skip
    for answer in answers:
        with pytest.raises(ChainError) as refused:
            endpoint(answer).eth.get_block(1)
        assert "secret-key" not in str(refused.value)
