// Encodes calls of the contracts and decodes their answers: static arguments, words and strings, all these pages need.

import { fromHex, keccak, toHex, utf8, word } from "./protocol.js";

const selector = (signature) => toHex(keccak(utf8(signature)).subarray(0, 4));

/** Calldata of `name(type,...)` with arguments of one word each: integers, addresses, bytes32. */
export const encodeCall = (signature, ...args) => selector(signature) + args.map((a) => toHex(word(a)).slice(2)).join("");

/** The words of an answer, as BigInts. */
export const words = (data) => (data.slice(2).match(/.{64}/g) ?? []).map((digits) => BigInt("0x" + digits));

/** A word as bytes32 or as an address. */
export const asBytes32 = (value) => toHex(word(value));
export const asAddress = (value) => toHex(word(value).subarray(12));

/** The string whose offset stands in word `index`. */
export function stringAt(data, index) {
  const found = words(data);
  const start = Number(found[index]);
  const length = Number(found[start / 32]);
  return new TextDecoder().decode(fromHex(data).subarray(start + 32, start + 32 + length));
}

// Why a call can be refused, in words. The arguments are those of the contract's error.
const REFUSALS = {
  "JobEscrow_NoticeNotMature(uint32,uint256)": () =>
    "the notice has not matured, or it has lapsed; wait for the countdown, or give notice again",
  "JobEscrow_BalanceTooLow(uint64,uint64)": (has, asked) =>
    `the lane holds ${has} units and ${asked} were asked for; ask for less`,
  "JobEscrow_TooMuchHeld(uint256,uint64)": () => "the escrow cannot hold that much more; deposit less",
  "UnitToken_WrongAmountReceived(uint256,uint256)": () =>
    "another amount arrived than was sent; tokens that take a fee cannot be deposited",
  "UnitToken_ZeroReceiver()": () => "the receiver is the zero address; give another one",
  "ERC20InsufficientBalance(address,uint256,uint256)": () => "the wallet holds too few tokens; ask for less",
  "ERC20InsufficientAllowance(address,uint256,uint256)": () =>
    "the permit was used before or has expired; deposit again and sign the new one",
};

const BY_SELECTOR = new Map(Object.entries(REFUSALS).map(([signature, say]) => [selector(signature), say]));

/** The errors that these pages can explain, by their signatures. */
export const EXPLAINED = Object.keys(REFUSALS);

/** Why a contract refused, from the revert's data. */
export function explainRevert(data) {
  const say = BY_SELECTOR.get(data.slice(0, 10));
  if (say) return say(...words("0x" + data.slice(10)));
  return `the contract refuses it (${data.slice(0, 10)}); reload the page and check what has changed`;
}
