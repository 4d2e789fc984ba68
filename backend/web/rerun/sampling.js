// Choosing a token from integer logits: SPEC.md of the exact engine, "Choosing a token".

import { fromHex, toHex, utf8 } from "../shared/protocol.js";
import { sha256 } from "../shared/vendor/noble-hashes/sha2.js";
import { concatBytes } from "../shared/vendor/noble-hashes/utils.js";

const LOG2_E_32 = 6_196_328_019n;
const FURTHEST = 2 ** 17 - 1;
export const WHOLE_PPM = 1_000_000;

const numbers = (...values) => new Uint8Array(Uint32Array.from(values).buffer);
const integer = (bytes) => BigInt(toHex(bytes));

/** The seed of an order's draws, from its parameter `seed` and the root of its prompts, 0x hex. */
export function seedOf(seed, promptRoot) {
  const parameter = fromHex(BigInt(seed).toString(16).padStart(64, "0"));
  return sha256(concatBytes(utf8("assay/exact/seed/2\n"), parameter, fromHex(promptRoot)));
}

/** The token after `step` tokens of text number `text`. `how`: {temperature, topP, seed}, in thousandths and millionths. */
export function choose(logits, exp2, how, text, step) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  if (how.temperature === 0) return logits.indexOf(largest);
  const weights = weigh(logits, largest, exp2, how.temperature);
  const order = Uint32Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a] || a - b);
  const running = new Float64Array(order.length); // sums stay below 2^53
  order.forEach((token, place) => (running[place] = weights[token] + (place ? running[place - 1] : 0)));
  const parts = BigInt(how.topP) * BigInt(running.at(-1));
  const wanted = Number((parts + BigInt(WHOLE_PPM - 1)) / BigInt(WHOLE_PPM));
  const kept = BigInt(running.find((sum) => sum >= wanted));
  const drawn = sha256(concatBytes(utf8("assay/exact/draw/1\n"), how.seed, numbers(text, step)));
  const point = Number((integer(drawn.subarray(0, 16)) * kept) >> 128n);
  return order[running.findIndex((sum) => sum > point)];
}

/** 2^24 exp((logit - largest) * 1000 / temperature) in integers. Every product stays below 2^53. */
function weigh(logits, largest, exp2, temperature) {
  const factor = Number(((LOG2_E_32 * 1000n) / BigInt(temperature)) >> 16n);
  const cut = Math.floor(((FURTHEST + 1) * 2 ** 20) / factor) + 1; // what is further has the largest distance anyway
  return Uint32Array.from(logits, (logit) => {
    const distance = Math.floor((Math.min(largest - logit, cut) * factor) / 2 ** 20);
    const z = Math.min(distance, FURTHEST);
    return exp2[z & 4095] >> (z >> 12);
  });
}
