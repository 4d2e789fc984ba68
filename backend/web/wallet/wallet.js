// Browser wallets: found by EIP-6963 or as window.ethereum, called by EIP-1193, their errors in plain words.

import { explainRevert } from "../shared/abi.js";
import { sleep } from "../shared/page.js";

const DECLINED = 4001;
const CHAIN_UNKNOWN = 4902;
const ALREADY_ASKED = -32002;
const RECEIPT_POLL_MS = 700;
const RECEIPT_POLLS = 400;

/** An error that a person can read and act upon. */
export class Plain extends Error {}

/** Calls `onFound` once per wallet: {id, name, icon, provider}. Uses window.ethereum only if no wallet announces itself. */
export function discover(onFound) {
  const announced = new Set();
  window.addEventListener("eip6963:announceProvider", ({ detail: { info, provider } }) => {
    if (announced.has(info.uuid)) return;
    announced.add(info.uuid);
    onFound({ id: info.rdns, name: info.name, icon: info.icon, provider });
  });
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  setTimeout(() => {
    if (!announced.size && window.ethereum) {
      onFound({ id: "window.ethereum", name: "Browser wallet", icon: null, provider: window.ethereum });
    }
  }, 200);
}

/** A wallet, and the account that this page may use. */
export class Wallet {
  constructor(provider) {
    this.provider = provider;
    this.account = null;
    this.chainId = null;
  }

  async request(method, params) {
    try {
      return await this.provider.request({ method, params });
    } catch (error) {
      throw inWords(error);
    }
  }

  /** Asks for an account. Returns whether there is one; `silently`, without a prompt, there may be none. */
  async connect({ silently = false } = {}) {
    const accounts = await this.request(silently ? "eth_accounts" : "eth_requestAccounts");
    this.account = accounts[0]?.toLowerCase() ?? null;
    if (this.account) await this.readChain();
    return this.account !== null;
  }

  async readChain() {
    this.chainId = Number(await this.request("eth_chainId"));
  }

  /** Asks the wallet to change to the backend's chain, and first to add the chain if the wallet does not know it. */
  async switchTo(network) {
    const chainId = "0x" + network.chain_id.toString(16);
    try {
      await this.request("wallet_switchEthereumChain", [{ chainId }]);
    } catch (error) {
      if (error.cause?.code !== CHAIN_UNKNOWN) throw error;
      await this.addChain(chainId, network);
    }
    await this.readChain();
    if (this.chainId !== network.chain_id) {
      throw new Plain(`Your wallet is still on chain ${this.chainId}. Choose chain ${network.chain_id} in it.`);
    }
  }

  async addChain(chainId, network) {
    if (!network.public_rpc) {
      throw new Plain(
        `Your wallet does not know chain ${network.chain_id}, and this backend names no public RPC URL for it. ` +
          "Add the chain in your wallet's settings, then switch again.",
      );
    }
    const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
    const chain = { chainId, chainName: `Assay ${network.chain_id}`, rpcUrls: [network.public_rpc], nativeCurrency };
    await this.request("wallet_addEthereumChain", [chain]);
    await this.request("wallet_switchEthereumChain", [{ chainId }]);
  }

  /** Reads a contract as of the latest block. */
  call(to, data) {
    return this.request("eth_call", [{ from: this.account, to, data }, "latest"]);
  }

  /** Simulates a call, so that a refusal shows before the wallet asks; then sends it and waits for its block. */
  async send(to, data, say) {
    await this.call(to, data);
    say("Confirm the transaction in your wallet.");
    const hash = await this.request("eth_sendTransaction", [{ from: this.account, to, data }]);
    say("Sent. Waiting for the chain…");
    for (let polls = 0; polls < RECEIPT_POLLS; polls += 1) {
      const receipt = await this.request("eth_getTransactionReceipt", [hash]);
      if (receipt && BigInt(receipt.status) === 1n) return receipt;
      if (receipt) throw new Plain(`The transaction ${hash} failed on chain; only its gas was spent. Try again.`);
      await sleep(RECEIPT_POLL_MS);
    }
    throw new Plain(`The transaction ${hash} is not on chain yet. Look at it in your wallet.`);
  }

  /** Signs typed data. v is 27 or 28, also if the wallet returns 0 or 1. */
  async sign(typedData) {
    const text = JSON.stringify(typedData, (_, value) => (typeof value === "bigint" ? value.toString() : value));
    const signature = (await this.request("eth_signTypedData_v4", [this.account, text])).toLowerCase();
    if (!/^0x[0-9a-f]{130}$/.test(signature)) {
      throw new Plain("This wallet does not sign with a single key. Use another account.");
    }
    const v = parseInt(signature.slice(-2), 16);
    return signature.slice(0, -2) + (v < 27 ? v + 27 : v).toString(16);
  }
}

function inWords(error) {
  const said = (words) => Object.assign(new Plain(words), { cause: error });
  const message = String(error?.message ?? error);
  if (error?.code === DECLINED) return said("You declined in your wallet. Nothing was signed or sent.");
  if (error?.code === ALREADY_ASKED) return said("Your wallet is already asking you something. Open it and answer.");
  const data = revertData(error);
  if (data) return said(`This would fail: ${explainRevert(data)}.`);
  if (/insufficient funds/i.test(message)) {
    return said("This account has too little ether to pay for gas. Send it a little ether, then try again.");
  }
  return said(`Your wallet answered: ${message.slice(0, 200)}`);
}

/** Revert data, wherever a wallet puts it in its error. */
function revertData(error, depth = 0) {
  if (typeof error === "string") return /^0x[0-9a-f]{8,}$/i.test(error) ? error : null;
  if (!error || typeof error !== "object" || depth > 4) return null;
  return revertData(error.data, depth + 1) ?? revertData(error.originalError, depth + 1);
}
