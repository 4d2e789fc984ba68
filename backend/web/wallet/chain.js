// Reads and calls the contracts through the wallet's own connection, never through the backend.

import { asAddress, asBytes32, encodeCall, stringAt, words } from "../shared/abi.js";
import { Scale } from "../shared/page.js";
import { permitData } from "../shared/protocol.js";
import { Plain } from "./wallet.js";

const PERMIT_LIFE_S = 3600;

/** The functions that these pages call, by name. */
export const FUNCTIONS = {
  lanes: "lanes(address,address)",
  epochs: "epochs(uint64)",
  depositWithPermit: "depositWithPermit(address,address,uint64,uint256,uint8,bytes32,bytes32)",
  giveNotice: "giveNotice(address)",
  cancelNotice: "cancelNotice(address)",
  withdraw: "withdraw(address,uint64,address)",
  balanceOf: "balanceOf(address)",
  nonces: "nonces(address)",
  decimals: "decimals()",
  symbol: "symbol()",
  eip712Domain: "eip712Domain()",
};

/** The deployment, through one wallet. */
export class Chain {
  constructor(wallet, network) {
    Object.assign(this, { wallet, network });
  }

  async read(to, name, ...args) {
    const data = await this.wallet.call(to, encodeCall(FUNCTIONS[name], ...args));
    if (data === "0x") throw new Plain(`There is no contract at ${to} on this chain. Is the backend's address right?`);
    return data;
  }

  async number(to, name, ...args) {
    return words(await this.read(to, name, ...args))[0];
  }

  /** The token's scale. */
  async scale() {
    const { token, constants } = this.network;
    const [decimals, symbol] = await Promise.all([this.number(token, "decimals"), this.read(token, "symbol")]);
    return new Scale(Number(decimals), constants.unit_wei, stringAt(symbol, 0).slice(0, 12));
  }

  /** Base units of the token in the wallet. */
  held() {
    return this.number(this.network.token, "balanceOf", this.wallet.account);
  }

  /** The wallet's own lane. Units and seconds. */
  async lane() {
    const { account } = this.wallet;
    const found = words(await this.read(this.network.escrow, "lanes", account, account));
    return { balance: found[0], charged: found[1], capProven: found[2], noticeAt: Number(found[3]) };
  }

  /** The chain's clock, Unix seconds. */
  async time() {
    const block = await this.wallet.request("eth_getBlockByNumber", ["latest", false]);
    return Number(block.timestamp);
  }

  /** A posted epoch: its root, its number of rows, and the hash of its outcomes (zero until it is settled). */
  async epoch(id) {
    const found = words(await this.read(this.network.escrow, "epochs", id));
    return { root: asBytes32(found[0]), count: Number(found[1]), outcomes: asAddress(found[4]) };
  }

  /** Moves tokens into the wallet's own lane: one signature, one transaction. */
  async deposit(units, say) {
    const { account } = this.wallet;
    const { escrow, token, constants } = this.network;
    const value = units * BigInt(constants.unit_wei);
    const domain = await this.permitDomain();
    const nonce = await this.number(token, "nonces", account);
    const deadline = Math.floor(Date.now() / 1000) + PERMIT_LIFE_S;
    say("Sign the permit in your wallet: it lets the escrow take exactly this amount, once.");
    const signature = await this.wallet.sign(
      permitData(domain, { owner: account, spender: escrow, value, nonce, deadline }),
    );
    const [r, s, v] = [signature.slice(0, 66), "0x" + signature.slice(66, 130), parseInt(signature.slice(130), 16)];
    await this.act(say, "depositWithPermit", account, account, units, deadline, v, r, s);
  }

  /** The token's own EIP-712 domain (EIP-5267). */
  async permitDomain() {
    const { token } = this.network;
    let data;
    try {
      data = await this.read(token, "eip712Domain");
    } catch (error) {
      throw new Plain("This token has no permits. Deposit with `assay wallet deposit` instead.", { cause: error });
    }
    const found = words(data);
    const chainId = Number(found[3]);
    return { name: stringAt(data, 1), version: stringAt(data, 2), chainId, verifyingContract: asAddress(found[4]) };
  }

  giveNotice = (say) => this.act(say, "giveNotice", this.wallet.account);
  cancelNotice = (say) => this.act(say, "cancelNotice", this.wallet.account);
  withdraw = (units, say) => this.act(say, "withdraw", this.wallet.account, units, this.wallet.account);

  /** One transaction to the escrow. */
  act(say, name, ...args) {
    return this.wallet.send(this.network.escrow, encodeCall(FUNCTIONS[name], ...args), say);
  }
}
