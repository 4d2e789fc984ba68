"""A chain of its own for the measurement: Anvil that mines each transaction alone, the contracts, and people."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx
from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain, connect
from contracts.onchain.contract import ContractCall
from contracts.onchain.deployment import deploy, make_dev_token
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.signing import Signer
from deploy.localnet.anvil import answers, find_anvil
from deploy.localnet.processes import free_port
from verifier.beacon.chain import BeaconChain

BATCH = 200
"""Requests to Anvil in one HTTP body."""
BLOCK_GAS = 10**9
WAIT_S = 30
CONSTANTS = DEVELOPMENT


def key_of(name: str) -> Signer:
    """The same key for the same name, so that every run signs the same bytes."""
    return Signer(keccak(b"gas " + name.encode()))


def account_of(name: str) -> Any:
    """Its address, as contract calls take it."""
    return to_checksum_address(key_of(name).address)


class Network:
    """Contracts with a bonded settler. Anvil sends for any account, so nothing but the measured bytes is signed."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120.0)
        self.beacon = BeaconChain(keccak(b"gas beacon"), 100)
        self.rpc("anvil_autoImpersonateAccount", True)
        self.rpc("anvil_setBalance", account_of("deployer"), hex(10**24))
        w3 = connect(url)
        deployer = Sender(w3, key_of("deployer"))
        deployment = deploy(
            deployer, CONSTANTS, settler=account_of("settler"), treasury=account_of("treasury"),
            beacon_anchor=to_hex(self.beacon.anchor), token=make_dev_token(deployer, 10**36),
        )  # fmt: skip
        self.chain = Chain(w3, deployment)
        self.domain = deployment.domain
        self.fund(["settler", "treasury"])
        escrow, token, stakes = self.chain.escrow, self.chain.token, self.chain.stakes
        self.send("deployer", token.functions.approve(escrow.address, 10**36))
        self.send("deployer", token.functions.approve(stakes.address, 10**36))
        self.send("deployer", escrow.functions.bondSettler(10**18))

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    # ------------------------------------------------------------ requests

    def rpc(self, method: str, *params: Any) -> Any:
        """One request of Anvil's."""
        return self.rpc_all([(method, list(params))])[0]

    def rpc_all(self, requests: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Many requests, answers in order. Raises RuntimeError with what Anvil says."""
        results: list[Any] = []
        for first in range(0, len(requests), BATCH):
            part = requests[first : first + BATCH]
            body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(part)]
            for answer in sorted(self._http.post("", json=body).raise_for_status().json(), key=lambda one: one["id"]):
                if "error" in answer:
                    raise RuntimeError(f"{part[answer['id']][0]}: {answer['error']}")
                results.append(answer["result"])
        return results

    # ------------------------------------------------------------ transactions

    def send(self, who: str, function: ContractCall) -> int:
        """Gas used by one call, alone in its block."""
        return self.send_all([(who, function)])[0]

    def send_all(self, calls: Sequence[tuple[str, ContractCall]]) -> list[int]:
        """Gas used by each call. Raises RuntimeError where one reverted."""
        senders = sorted({who for who, _ in calls})
        counts = self.rpc_all([("eth_getTransactionCount", [account_of(who), "latest"]) for who in senders])
        nonces = {who: count(int(found, 16)) for who, found in zip(senders, counts, strict=True)}
        transactions = [
            {
                "from": account_of(who), "to": f.address, "data": f.data,
                "gas": hex(BLOCK_GAS // 2), "nonce": hex(next(nonces[who])),
            }
            for who, f in calls
        ]  # fmt: skip
        hashes = self.rpc_all([("eth_sendTransaction", [one]) for one in transactions])
        receipts = self._mined(hashes)
        for (who, function), receipt in zip(calls, receipts, strict=True):
            if int(receipt["status"], 16) != 1:
                raise RuntimeError(f"{function.name} by {who} reverted in {receipt['transactionHash']}")
        return [int(receipt["gasUsed"], 16) for receipt in receipts]

    def _mined(self, hashes: Sequence[str]) -> list[Any]:
        wanted = [("eth_getTransactionReceipt", [one]) for one in hashes]
        until = time.monotonic() + WAIT_S
        while None in (found := self.rpc_all(wanted)):
            if time.monotonic() > until:
                raise RuntimeError(f"a transaction was not mined within {WAIT_S} s")
        return found

    # ------------------------------------------------------------ time, people

    def now(self) -> int:
        """The latest block's time."""
        return self.chain.head().timestamp

    def wait(self, seconds: int) -> None:
        """Moves the chain's time."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    def mine(self, blocks: int) -> None:
        """Empty blocks."""
        self.rpc("anvil_mine", hex(blocks))

    def fund(self, names: Sequence[str]) -> None:
        """Ether for gas."""
        self.rpc_all([("anvil_setBalance", [account_of(name), hex(10**20)]) for name in names])

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """The chain is after the block what it was before."""
        state = self.rpc("evm_snapshot")
        yield
        if not self.rpc("evm_revert", state):
            raise RuntimeError("Anvil did not go back to the state before")


@contextmanager
def network() -> Iterator[Network]:
    """A fresh chain with the contracts on it."""
    port = free_port()
    options = ["--port", str(port), "--hardfork", "prague", "--gas-limit", str(BLOCK_GAS), "--silent"]
    with subprocess.Popen([find_anvil(), *options, "--chain-id", "31337", "--accounts", "1"]) as process:
        url = f"http://127.0.0.1:{port}"
        _until_it_answers(url)
        try:
            made = Network(url)
            yield made
            made.close()
        finally:
            process.terminate()


def _until_it_answers(url: str) -> None:
    until = time.monotonic() + WAIT_S
    while not answers(url):
        if time.monotonic() > until:
            raise RuntimeError(f"Anvil did not start within {WAIT_S} s")
        time.sleep(0.05)
