"""A browser wallet for tests: announces itself by EIP-6963, signs with a real key outside of the browser.

Requests reach Python through a binding of the page; transactions are signed there and sent to the chain, everything
else that a node can answer goes to the node. It declines, or knows no chain, when the test says so.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from eth_account import Account
from playwright.sync_api import BrowserContext
from web3 import Web3

from contracts.protocol.signing import Signer

_INJECTED = """
(() => {
  const listeners = { accountsChanged: [], chainChanged: [] };
  const provider = {
    async request({ method, params }) {
      const asked = JSON.stringify({ method, params: params ?? [] });
      const { result, error, events } = JSON.parse(await window.__wallet(asked));
      for (const [name, value] of events) listeners[name].forEach((listener) => listener(value));
      if (error) throw Object.assign(new Error(error.message), error);
      return result;
    },
    on: (name, listener) => listeners[name].push(listener),
  };
  const uuid = "4b1b7c9e-0000-4000-8000-000000000001";
  const info = { uuid, name: "Test Wallet", rdns: "org.example.test", icon: ICON };
  const announce = () =>
    window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
  if (ANNOUNCES) {
    window.addEventListener("eip6963:requestProvider", announce);
    announce();
  } else {
    window.ethereum = provider;
  }
})();
"""
_ICON = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'><circle cx='8' cy='8' r='8'/></svg>"


@dataclass
class TestWallet:
    """One account. `chain_id` is where the wallet is now, `known` the chains that it can switch to."""

    __test__ = False

    key: Signer
    rpc_url: str
    chain_id: int = 31337
    known: set[int] = field(default_factory=lambda: {1, 31337})
    declines: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    signed: list[dict[str, Any]] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)

    def inject(self, context: BrowserContext, *, announces: bool = True) -> None:
        """Puts the wallet into every page of a browser context; without `announces` as window.ethereum alone."""
        context.expose_function("__wallet", self.answer)
        script = _INJECTED.replace("ICON", json.dumps(_ICON)).replace("ANNOUNCES", json.dumps(announces))
        context.add_init_script(script)

    def answer(self, text: str) -> str:
        """One JSON-RPC request of a page."""
        asked = json.loads(text)
        method, params = asked["method"], asked["params"]
        self.calls.append(method)
        chain_before = self.chain_id
        answer = self._answer(method, params)
        moved = [["chainChanged", hex(self.chain_id)]] if self.chain_id != chain_before else []
        return json.dumps({**answer, "events": moved})

    def count(self, method: str) -> int:
        """How often a page asked for a method."""
        return self.calls.count(method)

    def _answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method in self.declines:
            return _error(4001, "User rejected the request.")
        match method:
            case "eth_requestAccounts" | "eth_accounts":
                return {"result": [Web3.to_checksum_address(self.key.address)]}
            case "eth_chainId":
                return {"result": hex(self.chain_id)}
            case "wallet_switchEthereumChain":
                return self._switch(int(params[0]["chainId"], 16))
            case "wallet_addEthereumChain":
                self.added.append(params[0])
                self.known.add(int(params[0]["chainId"], 16))
                return {"result": None}
            case "eth_signTypedData_v4":
                return self._sign(params[0], json.loads(params[1]))
            case "eth_sendTransaction":
                return self._send(params[0])
        return self._node(method, params)

    def _switch(self, chain_id: int) -> dict[str, Any]:
        if chain_id not in self.known:
            return _error(4902, "Unrecognized chain ID.")
        self.chain_id = chain_id
        return {"result": None}

    def _sign(self, account: str, data: dict[str, Any]) -> dict[str, Any]:
        assert account.lower() == self.key.address
        self.signed.append(data)
        signed = Account.sign_typed_data(self.key.private_key(), full_message=data)
        return {"result": Web3.to_hex(signed.signature)}

    def _send(self, transaction: dict[str, Any]) -> dict[str, Any]:
        w3 = Web3(Web3.HTTPProvider(self.rpc_url))
        sender = Web3.to_checksum_address(self.key.address)
        estimated = self._node("eth_estimateGas", [transaction])
        if "error" in estimated:
            return estimated
        full = {
            "to": Web3.to_checksum_address(transaction["to"]),
            "data": transaction["data"],
            "value": 0,
            "nonce": w3.eth.get_transaction_count(sender),
            "gas": int(estimated["result"], 16) * 12 // 10,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
            "chainId": self.chain_id,
        }
        raw = Account.sign_transaction(full, self.key.private_key()).raw_transaction
        return self._node("eth_sendRawTransaction", [Web3.to_hex(raw)])

    def _node(self, method: str, params: list[Any]) -> dict[str, Any]:
        if self.chain_id != 31337:
            return {"result": "0x"}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = httpx.post(self.rpc_url, json=body, timeout=20.0).json()
        return {"error": answer["error"]} if "error" in answer else {"result": answer["result"]}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
