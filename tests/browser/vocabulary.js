// What the page's vocabulary says of each case: reads {tokenizer, sha256, cases: [[ids, text], ...]}, writes a list.

import { readFileSync } from "node:fs";
import { vocabularyOf } from "./shared/vocabulary.js";

const { tokenizer, sha256, cases } = JSON.parse(readFileSync(0));
globalThis.fetch = async () => new Response(readFileSync(tokenizer));
const vocabulary = await vocabularyOf("any", { tokenizer_sha256: sha256, tokenizer: "byte_bpe" });
console.log(JSON.stringify(cases.map(([ids, text]) => [vocabulary.spells(ids, text), vocabulary.spell(ids)])));
