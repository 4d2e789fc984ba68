// contracts/SPEC.md in JavaScript: recomputes ids, signatures, amounts, leaves and proofs. Tested against the golden
// vectors of contracts/vectors. Knows no network, no wallet, no page.

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

// A JSON number too large for a double, outside of strings.
const LARGE = /"(?:[^"\\]|\\.)*"|-?\d{16,}/g;
const MARK = "\u0000integer:";

/** A JSON value whose integers too large for a double are BigInts. */
export function parseJson(text) {
  const marked = text.replace(LARGE, (match) => (match[0] === '"' ? match : JSON.stringify(MARK + match)));
  const unmark = (_, value) =>
    typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
  return JSON.parse(marked, unmark);
}

// ---- EIP-712

const field = (text) => ({ type: text.split(" ")[0], name: text.split(" ")[1] });
const fields = (text) => text.split(",").map(field);

const TYPES = {
  EIP712Domain: fields("string name,string version,uint256 chainId,address verifyingContract"),
  Order: fields("address requester,uint64 spendCap,Terms terms"),
  Terms: fields(
    "bytes32 workloadId,bytes32 promptRoot,bytes32 textsHash,Params params,uint8 comparator,uint8 copies," +
      "uint8 visibility,uint64 fixedPrice,uint64 unitPrice,uint64 maxPrice,uint40 deadline,uint64 salt",
  ),
  Params: fields("uint32 maxNewTokens,uint32 temperatureMilli,uint32 topPPpm,uint64 seed"),
  Commitment: fields("bytes32 orderId,address node,bytes32 outputRoot,bytes32 traceCommit,uint32 units"),
  Workload: fields(
    "bytes32 modelRoot,bytes32 engine,uint8 comparator,uint8 meter,uint32 maxTexts,uint32 maxTokens," +
      "bytes32 before,bytes32 after,bytes32 stops,uint64 checkPrice,Deterrence deterrence,bytes32 manifestHash",
  ),
  Deterrence: fields(
    "uint32 honestCostPpm,uint32 cheatCostPpm,uint32 detectionPpm,uint32 collusionPpm,uint32 falseAlarmPpm",
  ),
  Permit: fields("address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"),
};

const encodeType = (name) => `${name}(${TYPES[name].map((f) => `${f.type} ${f.name}`).join(",")})`;

/** The struct types inside a type, at any depth, sorted by name. */
function nested(name) {
  const inner = TYPES[name].filter((f) => f.type in TYPES).flatMap((f) => [f.type, ...nested(f.type)]);
  return [...new Set(inner)].sort();
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
  version: "2",
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

// ---- packed words: lists of 32-bit words, their bytes and their root (SPEC section 3)

const FANOUT = 64;
const WORD_BYTES = 4;

/** The packed bytes of lists of token ids, or of int32 numbers. */
export function pack(lists) {
  const words = [lists.length, ...lists.map((list) => list.length), ...lists.flat()];
  const view = new DataView(new ArrayBuffer(WORD_BYTES * words.length));
  words.forEach((value, place) => view.setInt32(WORD_BYTES * place, value));
  return new Uint8Array(view.buffer);
}

/** The bytes of each list's words. Throws for bytes whose counts do not add up. */
function split(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fits = (end) => {
    if (end > bytes.length) throw new RangeError("these are no packed words");
    return end;
  };
  fits(WORD_BYTES);
  let start = fits(WORD_BYTES * (1 + view.getUint32(0)));
  const heads = start / WORD_BYTES - 1;
  const found = [];
  for (let i = 1; i <= heads; i++) {
    const end = fits(start + WORD_BYTES * view.getUint32(WORD_BYTES * i));
    found.push(bytes.subarray(start, end));
    start = end;
  }
  if (start !== bytes.length) throw new RangeError("these are no packed words");
  return found;
}

/** The lists behind packed bytes: token ids, or with `signed` int32 numbers. */
export const unpack = (bytes, { signed = false } = {}) =>
  split(bytes).map((words) => {
    const view = new DataView(words.buffer, words.byteOffset, words.byteLength);
    const read = (place) => (signed ? view.getInt32(WORD_BYTES * place) : view.getUint32(WORD_BYTES * place));
    return Array.from({ length: words.length / WORD_BYTES }, (_, place) => read(place));
  });

const uint32 = (value) => word(value).subarray(28);

function above(level) {
  if (level.length === 0) return new Uint8Array(32);
  while (level.length > 1) {
    const groups = Array.from({ length: Math.ceil(level.length / FANOUT) }, (_, i) =>
      level.slice(FANOUT * i, FANOUT * (i + 1)),
    );
    level = groups.map((group) => keccak(Uint8Array.of(1), ...group));
  }
  return level[0];
}

function listRoot(words) {
  const size = WORD_BYTES * FANOUT;
  const blocks = Array.from({ length: Math.ceil(words.length / size) }, (_, i) =>
    keccak(Uint8Array.of(0), words.subarray(size * i, size * (i + 1))),
  );
  return keccak(Uint8Array.of(2), uint32(words.length / WORD_BYTES), above(blocks));
}

/** The root of packed bytes, 0x hex. */
export function packedRoot(bytes) {
  const lists = split(bytes);
  return toHex(keccak(Uint8Array.of(3), uint32(lists.length), above(lists.map(listRoot))));
}

/** Whether `name` names these bytes: it is their keccak256 or, of packed words, their root. */
export function isNamed(bytes, name) {
  if (keccakHex(bytes) === name) return true;
  try {
    return packedRoot(bytes) === name;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

// ---- workloads

const COMPARATORS = { exact: 1, native: 2 };
const METERS = { new_tokens: 1, input_tokens: 2 };
const idsRoot = (ids) => toHex(listRoot(pack([ids]).subarray(2 * WORD_BYTES)));

/** A workload's id, 0x hex, from its canonical manifest's bytes. */
export function workloadId(bytes) {
  const manifest = parseJson(new TextDecoder().decode(bytes));
  const engine = utf8(`${manifest.engine}/${manifest.engine_version}`);
  return toHex(
    hashStruct("Workload", {
      modelRoot: manifest.model_root ?? 0,
      engine: toHex(concatBytes(engine, new Uint8Array(32 - engine.length))),
      comparator: COMPARATORS[manifest.comparator],
      meter: METERS[manifest.meter],
      maxTexts: manifest.input.max_texts,
      maxTokens: manifest.input.max_tokens,
      before: idsRoot(manifest.template.before),
      after: idsRoot(manifest.template.after),
      stops: idsRoot(manifest.stops.toSorted((a, b) => a - b)),
      checkPrice: manifest.check_price_units,
      deterrence: renamed(manifest.deterrence),
      manifestHash: keccakHex(bytes),
    }),
  );
}

// ---- prices, units

/** The most metered units of an order, known before tokenizing: every token stands for at least a byte. */
export function mostUnits(manifest, texts, params) {
  if (manifest.meter === "new_tokens") return texts.length * params.max_new_tokens;
  if (manifest.meter === "input_tokens") {
    const around = manifest.template.before.length + manifest.template.after.length;
    const most = (text) => Math.min(manifest.input.max_tokens, utf8(text).length + around);
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
