// The trace of a computation: a tree of sha256 over texts, rows of logits and blocks of 256 (SPEC.md of the exact engine,
// "The trace"), and the part of it that nodes publish (contracts/SPEC.md, section 11).

import { utf8, word } from "../shared/protocol.js";
import { sha256 } from "../shared/vendor/noble-hashes/sha2.js";
import { bytesToHex, concatBytes } from "../shared/vendor/noble-hashes/utils.js";

const BLOCK_BYTES = 1024;
const CHUNK_ROWS = 16;
const SHOWN_TAG = utf8("assay/exact/trace/2\n");
const hashed = (kind, ...parts) => sha256(concatBytes(Uint8Array.of(kind), ...parts));

/** The pieces of a list or of bytes, `size` long, the last one what is left. */
const pieces = (whole, size) =>
  Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.slice(size * i, size * (i + 1)));

/** The node above neighbours. */
function top(level) {
  while (level.length > 1) level = pieces(level, 2).map((pair) => (pair.length > 1 ? hashed(1, ...pair) : pair[0]));
  return level[0] ?? new Uint8Array(0);
}

/** The digest of a list of `count`, from all nodes of one level above its elements. */
const sealed = (count, nodes) => hashed(2, word(count).subarray(28), top(nodes));
const list = (digests) => sealed(digests.length, digests);

/** The digest of a row of logits, an Int32Array: little-endian, as every browser's. */
export const rowDigest = (row) =>
  list(pieces(new Uint8Array(row.buffer, row.byteOffset, row.byteLength), BLOCK_BYTES).map((block) => hashed(0, block)));

/** The trace hash of texts, each a list of its rows' digests. */
export const traceHash = (texts) => list(texts.map(list));

/** The texts of a published trace, {rows, nodes}: a node stands for CHUNK_ROWS rows. Null for bytes that are none. */
export function decodeShown(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let place = SHOWN_TAG.length;
  if (bytesToHex(bytes.subarray(0, place)) !== bytesToHex(SHOWN_TAG)) return null;
  const texts = [];
  while (place + 4 <= bytes.length) {
    const rows = view.getUint32(place);
    const start = place + 4;
    place = start + 32 * Math.ceil(rows / CHUNK_ROWS);
    texts.push({ rows, nodes: pieces(bytes.subarray(start, place), 32) });
  }
  return place === bytes.length ? texts : null;
}

/** The trace hash of published bytes. */
export function shownHash(bytes) {
  const texts = decodeShown(bytes);
  return texts === null ? sha256(bytes) : list(texts.map(({ rows, nodes }) => sealed(rows, nodes)));
}

/** The first text, and its first and last rows, in which published bytes differ; null if they do not, or are no trace. */
export function firstDifference(shown, texts) {
  const theirs = decodeShown(shown) ?? [];
  for (const [text, { rows, nodes }] of theirs.entries()) {
    const ours = texts[text] ?? [];
    const most = Math.max(rows, ours.length);
    for (let first = 0; first < most; first += CHUNK_ROWS) {
      const node = top(ours.slice(first, first + CHUNK_ROWS));
      if (bytesToHex(nodes[first / CHUNK_ROWS] ?? new Uint8Array(0)) !== bytesToHex(node)) {
        return [text, first, Math.min(first + CHUNK_ROWS, most) - 1];
      }
    }
  }
  return null;
}
