// The agreement of contracts/SPEC.md, a third time: ids, signatures, amounts, leaves and proofs, recomputed in the page.
// Held against the golden vectors of contracts/vectors. Knows no network, no wallet, no page.

import { keccak_256 } from "./vendor/noble-hashes/sha3.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "./vendor/noble-hashes/utils.js";
import { Point, Signature, recoverPublicKey } from "./vendor/noble-secp256k1/index.js";

export const utf8 = utf8ToBytes;
export const toHex = (bytes) => "0x" + bytesToHex(bytes);
export const fromHex = (hex) => hexToBytes(hex.replace(/^0x/, ""));
export const keccak = (...parts) => keccak_256(concatBytes(...parts));
export const keccakHex = (bytes) => toHex(keccak(bytes));

/** One ABI word: an integer, or 0x hex of an address or bytes32, left-padded to 32 bytes. */
export function word(value) {
  const digits = typeof value === "string" && value.startsWith("0x") ? value.slice(2) : BigInt(value).toString(16);
  return hexToBytes(digits.padStart(64, "0"));
}

// ---- canonical JSON: sorted keys, no white space, integers (number or BigInt) and strings only

export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return value.toString();
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object") throw new TypeError(`${value} has no canonical form; use an integer or a string`);
  const entries = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${entries.join(",")}}`;
}

export const hashJson = (value) => keccakHex(utf8(canonical(value)));

// ---- EIP-712

const field = (text) => ({ type: text.split(" ")[0], name: text.split(" ")[1] });
const fields = (text) => text.split(",").map(field);

const TYPES = {
  EIP712Domain: fields("string name,string version,uint256 chainId,address verifyingContract"),
  Order: fields("address requester,uint64 spendCap,Terms terms"),
  Terms: fields(
    "bytes32 workloadId,bytes32 inputHash,bytes32 paramsHash,uint8 comparator,uint8 copies,uint8 visibility," +
      "uint64 fixedPrice,uint64 unitPrice,uint64 maxPrice,uint40 deadline,uint64 salt",
  ),
  Commitment: fields("bytes32 orderId,address node,bytes32 outputHash,bytes32 traceCommit,uint32 units"),
  Permit: fields("address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"),
};

const encodeType = (name) => `${name}(${TYPES[name].map((f) => `${f.type} ${f.name}`).join(",")})`;

function nested(name) {
  return TYPES[name].filter((f) => f.type in TYPES).map((f) => f.type);
}

function hashStruct(name, value) {
  const typeHash = keccak(utf8([name, ...nested(name)].map(encodeType).join("")));
  const words = TYPES[name].map((f) => {
    if (f.type in TYPES) return hashStruct(f.type, value[f.name]);
    return f.type === "string" ? keccak(utf8(value[f.name])) : word(value[f.name]);
  });
  return keccak(typeHash, ...words);
}

/** The typed data that a wallet shows and signs (eth_signTypedData_v4), as an object. */
function typedData(primaryType, domain, message) {
  const used = ["EIP712Domain", primaryType, ...nested(primaryType)];
  return { types: Object.fromEntries(used.map((name) => [name, TYPES[name]])), domain, primaryType, message };
}

/** The 32 bytes behind a signature of typed data. */
export function digestOf({ domain, primaryType, message }) {
  return keccak(Uint8Array.of(0x19, 0x01), hashStruct("EIP712Domain", domain), hashStruct(primaryType, message));
}

const assayDomain = (network) => ({
  name: "Assay",
  version: "1",
  chainId: network.chain_id,
  verifyingContract: network.escrow,
});

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const renamed = (record) =>
  Object.fromEntries(
    Object.entries(record).map(([key, value]) => [camel(key), value instanceof Object ? renamed(value) : value]),
  );

/** Typed data of an order, from the API's record. */
export const orderData = (network, order) => typedData("Order", assayDomain(network), renamed(order));

/** Typed data of a commitment, from the API's record. */
export const commitmentData = (network, commitment) =>
  typedData("Commitment", assayDomain(network), renamed(commitment));

/** Typed data of an EIP-2612 permit in the token's own domain. */
export const permitData = (domain, permit) => typedData("Permit", domain, permit);

/** The lower-case address that signed a digest. `signature`: 0x hex of r, s, v with low s. Throws for any other. */
export function signerOf(digest, signature) {
  const bytes = fromHex(signature);
  const isOne = bytes.length === 65 && (bytes[64] === 27 || bytes[64] === 28);
  if (!isOne || Signature.fromBytes(bytes.subarray(0, 64)).hasHighS()) throw new Error("this is no signature of a key");
  const recovered = concatBytes(Uint8Array.of(bytes[64] - 27), bytes.subarray(0, 64));
  const key = Point.fromBytes(recoverPublicKey(recovered, digest, { prehash: false })).toBytes(false);
  return toHex(keccak(key.subarray(1)).subarray(12));
}

// ---- prices, units

/** Most units of metering that an order can come to: the manifest's `meter` over texts and parameters. */
export function mostUnits(manifest, texts, params) {
  if (manifest.meter === "new_tokens") return texts.length * params.max_new_tokens;
  if (manifest.meter === "input_tokens") {
    const { max_tokens, overhead_tokens } = manifest.input;
    const most = (text) => Math.min(max_tokens, utf8(text).length + overhead_tokens);
    return texts.reduce((sum, text) => sum + most(text), 0);
  }
  throw new Error(`this page does not know the meter ${manifest.meter}; reload it, or use assay jobs`);
}

/** min(max price, fixed price + units * unit price), in units of the token. */
export function amountOf(terms, units) {
  const price = BigInt(terms.fixed_price) + BigInt(units) * BigInt(terms.unit_price);
  return price < BigInt(terms.max_price) ? price : BigInt(terms.max_price);
}

// ---- leaves and the tree by position (SPEC section 4)

/** The leaf of a row: who pays, who earns, how many units, for which commitment. */
export function leafOf({ requester, signer, operatorId, amountUnits, digest }) {
  const lane = keccak(fromHex(requester), fromHex(signer));
  return keccak(lane, word((BigInt(operatorId) << 64n) | BigInt(amountUnits)), fromHex(digest));
}

/** Whether `leaf` stands at `index` of the tree of `count` leaves under `root` (0x hex). */
export function isUnderRoot(leaf, index, count, siblings, root) {
  if (!(index >= 0 && index < count)) return false;
  const rest = siblings.map(fromHex);
  let node = leaf;
  for (let width = count; width > 1; width = Math.ceil(width / 2), index = Math.floor(index / 2)) {
    if ((index ^ 1) >= width) continue;
    const sibling = rest.shift();
    if (sibling === undefined) return false;
    node = index & 1 ? keccak(sibling, node) : keccak(node, sibling);
  }
  return rest.length === 0 && toHex(node) === root;
}
