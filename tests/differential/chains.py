"""The two machines that run the contracts: py-evm without blocks around it, and Anvil over JSON-RPC.

Both take the same transactions at the same times and block numbers and give the same three things back: whether it
went through, what was returned, what was logged.
"""

import http.client
import json
import socket
import subprocess
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # py-evm imports names that its dependencies deprecate
    from eth.vm.execution_context import ExecutionContext
    from eth.vm.spoof import SpoofTransaction
    from eth_tester import PyEVMBackend

CHAIN_ID = 31337
START_S = 1_700_000_000
GAS = 30_000_000
_MINER = b"\xc0" * 20
NODE_MODULES = Path(__file__).parents[2] / "contracts" / "node_modules"

Log = tuple[str, tuple[bytes, ...], bytes]
"""Address, topics, data."""


@dataclass(frozen=True)
class Outcome:
    """Of one transaction."""

    success: bool
    output: bytes
    logs: tuple[Log, ...]


class Machine(Protocol):
    """What the comparison needs of a chain."""

    name: str

    def send(self, sender: str, to: str | None, data: bytes, now: int, block: int) -> Outcome:
        """Runs one transaction alone in its block."""

    def call_all(self, calls: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """What views answer, in the present state."""

    def mark(self) -> None:
        """Remembers the present state for `rewind`."""

    def rewind(self) -> None:
        """Goes back to the marked state."""


class PyEvm:
    """py-evm's virtual machine of the Prague fork. A view runs again only if a slot that it read has changed."""

    name = "py-evm"

    def __init__(self) -> None:
        chain = PyEVMBackend.from_mnemonic("test " * 11 + "junk", num_accounts=1).chain
        self._state: Any = chain.get_vm().state
        self._builder = chain.get_transaction_builder()
        self._views: dict[tuple[str, bytes], tuple[dict[tuple[bytes, int], int], bytes]] = {}
        # An empty account that is touched is cleared at a transaction's end, which no rewinding undoes.
        for account in (_MINER, *(bytes(19) + bytes([number]) for number in range(1, 18))):
            self._state.set_balance(account, 1)

    def send(self, sender: str, to: str | None, data: bytes, now: int, block: int) -> Outcome:
        """Runs one transaction."""
        self._set_block(now, block)
        ran = self._run(sender, to, data)
        logs = tuple(
            ("0x" + address.hex(), tuple(topic.to_bytes(32, "big") for topic in topics), bytes(payload))
            for address, topics, payload in ran.get_log_entries()
        )
        return Outcome(not ran.is_error, bytes(ran.output), logs)

    def call_all(self, calls: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Views of storage only: what they answer depends on nothing else."""
        return [self._call(to, data) for to, data in calls]

    def mark(self) -> None:
        """A snapshot of the journal."""
        self._marked = self._state.snapshot()

    def rewind(self) -> None:
        """Drops all since."""
        self._state.revert(self._marked)
        self._marked = self._state.snapshot()

    def close(self) -> None:
        """Nothing runs beside this process."""

    def _call(self, to: str, data: bytes) -> bytes:
        known = self._views.get((to, data))
        if known and all(self._state.get_storage(*slot) == value for slot, value in known[0].items()):
            return known[1]
        read: dict[tuple[bytes, int], int] = {}
        own = self._state.get_storage

        def recorded(address: bytes, slot: int, from_journal: bool = True) -> int:
            value: int = own(address, slot, from_journal)
            read[address, slot] = value
            return value

        snapshot = self._state.snapshot()
        self._state.get_storage = recorded
        try:
            ran = self._run("0x" + _MINER.hex(), to, data)
        finally:
            del self._state.get_storage
            self._state.revert(snapshot)
        if ran.is_error:
            raise AssertionError(f"a view of {to} fails: {data.hex()} -> {ran.output.hex()}")
        self._views[to, data] = read, bytes(ran.output)
        return bytes(ran.output)

    def _run(self, sender: str, to: str | None, data: bytes) -> Any:
        account = bytes.fromhex(sender[2:])
        transaction = self._builder.new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=self._state.get_nonce(account),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=GAS,
            to=bytes.fromhex(to[2:]) if to else b"",
            value=0,
            data=data,
            access_list=(),
        )
        return self._state.apply_transaction(SpoofTransaction(transaction, from_=account))

    def _set_block(self, now: int, block: int) -> None:
        context: Any = ExecutionContext  # its types tell block numbers from integers
        self._state.execution_context = context(
            _MINER, now, block, 0, bytes(32), 10 * GAS, [], CHAIN_ID, base_fee_per_gas=0, excess_blob_gas=0
        )


class Anvil:
    """A node of its own; accounts are impersonated, gas is free."""

    name = "anvil"

    def __init__(self) -> None:
        binary = next((NODE_MODULES / "@foundry-rs").glob("anvil-*/bin/anvil"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["--port", port, "--hardfork", "prague", "--chain-id", CHAIN_ID, "--timestamp", START_S]
        options += ["--accounts", 1, "--block-base-fee-per-gas", 0, "--gas-price", 0, "--gas-limit", 10 * GAS]
        options += ["--auto-impersonate", "--no-mining", "--silent", "--prune-history", 256]
        self._process = subprocess.Popen([binary, *map(str, options)], stdout=subprocess.DEVNULL)
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._block = 0
        self._wait_until_up()

    def close(self) -> None:
        """Ends the node."""
        self._http.close()
        self._process.terminate()
        self._process.wait()

    def send(self, sender: str, to: str | None, data: bytes, now: int, block: int) -> Outcome:
        """Mines one transaction at this time in this block."""
        for missing in range(block - self._block - 1, 0, -1):
            self._request(("evm_mine", [now - missing]))
        body = {"from": sender, "data": "0x" + data.hex(), "gas": hex(GAS), "gasPrice": "0x0"}
        (tx_hash,) = self._request(("eth_sendTransaction", [body | ({"to": to} if to else {})]))
        self._request(("evm_mine", [now]))
        tracer = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}
        receipt, trace, head = self._request(
            ("eth_getTransactionReceipt", [tx_hash]),
            ("debug_traceTransaction", [tx_hash, tracer]),
            ("eth_getBlockByNumber", ["latest", False]),
        )
        if (int(head["number"], 16), int(head["timestamp"], 16)) != (block, now):
            raise AssertionError(f"block {head['number']} at {head['timestamp']}, not {block} at {now}")
        self._block = block
        logs = tuple(
            (log["address"].lower(), tuple(map(_bytes, log["topics"])), _bytes(log["data"])) for log in receipt["logs"]
        )
        output = b"" if to is None else _bytes(trace.get("output") or "0x")
        return Outcome(receipt["status"] == "0x1", output, logs)

    def call_all(self, calls: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """All views in one request."""
        batch = [("eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"]) for to, data in calls]
        return [_bytes(answer) for answer in self._request(*batch)]

    def mark(self) -> None:
        """A snapshot of the node."""
        self._marked_block = self._block
        (self._marked,) = self._request(("evm_snapshot", []))

    def rewind(self) -> None:
        """Goes back, and takes the snapshot again, which going back uses up."""
        self._request(("evm_revert", [self._marked]))
        self._block = self._marked_block
        self.mark()

    def _wait_until_up(self) -> None:
        ends = time.monotonic() + 30
        while True:
            try:
                self._request(("eth_chainId", []))
                return
            except ConnectionError:
                self._http.close()
                if time.monotonic() > ends or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def _request(self, *calls: tuple[str, list[Any]]) -> list[Any]:
        batch = [
            {"jsonrpc": "2.0", "id": position, "method": method, "params": params}
            for position, (method, params) in enumerate(calls)
        ]
        self._http.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
        answers = json.loads(self._http.getresponse().read())
        for answer in answers:
            if "error" in answer:
                raise AssertionError(f"anvil: {batch[answer['id']]} -> {answer['error']}")
        return [answer["result"] for answer in sorted(answers, key=lambda item: int(item["id"]))]


class Both:
    """py-evm and Anvil side by side: what one says, the other must say too."""

    name = "both"

    def __init__(self) -> None:
        self._one, self._other = PyEvm(), Anvil()

    def close(self) -> None:
        """Ends the node."""
        self._other.close()

    def send(self, sender: str, to: str | None, data: bytes, now: int, block: int) -> Outcome:
        """The same transaction on both."""
        one = self._one.send(sender, to, data, now, block)
        other = self._other.send(sender, to, data, now, block)
        if to is not None and one != other:
            raise AssertionError(f"py-evm: {one}\nanvil: {other}")
        return other

    def call_all(self, calls: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """The same views on both."""
        one, other = self._one.call_all(calls), self._other.call_all(calls)
        if one != other:
            differ = [(call, a, b) for call, a, b in zip(calls, one, other, strict=True) if a != b]
            raise AssertionError(f"py-evm and anvil differ: {differ}")
        return one

    def mark(self) -> None:
        """Of both."""
        self._one.mark()
        self._other.mark()

    def rewind(self) -> None:
        """Of both."""
        self._one.rewind()
        self._other.rewind()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
