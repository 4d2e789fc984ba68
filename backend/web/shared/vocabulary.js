// Spells token ids with the tokenizer that a workload's manifest names, so that no backend can pass off other ids.

import { getBytes, once } from "./api.js";
import { utf8 } from "./protocol.js";
import { sha256 } from "./vendor/noble-hashes/sha2.js";
import { bytesToHex, concatBytes } from "./vendor/noble-hashes/utils.js";

/** GPT-2's characters for bytes: printable ones stand for themselves, the others start at 256. Character -> byte. */
function byteCharacters() {
  const plain = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  const found = new Map();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) found.set(String.fromCodePoint(plain(byte) ? byte : next++), byte);
  return found;
}

function readIds(tokenizer) {
  const pieces = new Map(Object.entries(tokenizer.model.vocab).map(([piece, id]) => [id, piece]));
  const special = new Set(tokenizer.added_tokens.filter((token) => token.special).map((token) => token.id));
  return { pieces, special };
}

/** Byte-level BPE: each id stands for bytes; joined they are the text. */
function byteBpe(tokenizer) {
  const { pieces, special } = readIds(tokenizer);
  const bytes = byteCharacters();
  const added = new Map(tokenizer.added_tokens.map((token) => [token.id, utf8(token.content)]));
  const ofPiece = (piece) => {
    const found = Array.from(piece, (character) => bytes.get(character));
    return found.includes(undefined) ? utf8(piece) : Uint8Array.from(found);
  };
  const bytesOf = (id) => added.get(id) ?? ofPiece(pieces.get(id) ?? "");
  const isText = (id) => !special.has(id) && (pieces.has(id) || added.has(id));
  const join = (ids) => concatBytes(...ids.map(bytesOf));
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    spell: (ids) => decoder.decode(join(ids.filter((id) => !special.has(id)))),
    spells: (ids, text) => ids.every(isText) && bytesToHex(join(ids)) === bytesToHex(utf8(text)),
  };
}

/** BERT's WordPiece lowers texts, strips accents and splits; the rest is compared without white space. */
function wordpiece(tokenizer) {
  const { pieces, special } = readIds(tokenizer);
  const join = (ids) => ids.map((id) => (pieces.get(id) ?? "").replace(/^##/, "")).join("");
  const plain = (text) => text.normalize("NFD").toLowerCase().replace(/[\p{Mn}\p{C}\s\ufffd]/gu, "");
  return { spell: join, spells: (ids, text) => !ids.some((id) => special.has(id)) && join(ids) === plain(text) };
}

const FAMILIES = { byte_bpe: byteBpe, wordpiece };
const loaded = new Map(); // sha256 -> promise of a vocabulary

/** The vocabulary of a workload: `spell(ids)` to text, `spells(ids, text)`. Throws unless the file is the manifest's. */
export const vocabularyOf = (workload, manifest) =>
  once(loaded, manifest.tokenizer_sha256, async () => {
    const bytes = await getBytes(`v1/workloads/${workload}/tokenizer`);
    if (bytesToHex(sha256(bytes)) !== manifest.tokenizer_sha256) {
      throw new Error("The backend sent another tokenizer than the workload's.");
    }
    return FAMILIES[manifest.tokenizer](JSON.parse(new TextDecoder().decode(bytes)));
  });
