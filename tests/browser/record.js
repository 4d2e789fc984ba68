// The public record a second time, to compare with: an epoch's lines, its seed, rates, draws, and each leaf's outcome
// (SPEC sections 9 to 11). The test serves it beside protocol.js. Pure: fetches nothing.

import { fromHex, keccak, toHex, word } from "./protocol.js";

const CERTAIN = 1n << 256n;
const PPM = 1_000_000n;
const LINE_FEED = 10;

const toInteger = (bytes) => BigInt(toHex(bytes));
const ceilDivide = (a, b) => (a + b - 1n) / b; // of positive integers

/** The lines of an epoch's file. A line ends at a line feed and nowhere else; the last one may lack it. */
export function splitLines(bytes) {
  const lines = [];
  let start = 0;
  for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return start < bytes.length ? [...lines, bytes.subarray(start)] : lines;
}

/** The root of leaves in order: pairs from the left, an odd last node is promoted; zero for none. */
export function merkleRoot(leaves) {
  let level = leaves.length ? leaves : [new Uint8Array(32)];
  while (level.length > 1) {
    level = level.flatMap((node, i) => (i % 2 ? [] : [i + 1 < level.length ? keccak(node, level[i + 1]) : node]));
  }
  return level[0];
}

/** `logRoot` of an epoch's lines. */
export const logRootOf = (lines) => merkleRoot(lines.map((line) => keccak(line)));

/** An epoch's seed: the block K after its root, the beacon posted with the next epoch, its root. All 0x hex. */
export const seedOf = (blockHash, nextBeacon, root) => keccak(fromHex(blockHash), fromHex(nextBeacon), fromHex(root));

/** The chance of a check, times 2^256: the published least for an operator's stake and exposure. */
export function leastThreshold(deterrence, { stakeUnits, exposureUnits, penaltyMultiple }) {
  const [stake, exposure, multiple] = [stakeUnits, exposureUnits, penaltyMultiple].map(BigInt);
  if (exposure <= 0n) return CERTAIN;
  const atStake = stake < multiple * exposure ? stake : multiple * exposure;
  const { honest_cost_ppm, cheat_cost_ppm, detection_ppm, collusion_ppm, false_alarm_ppm } = deterrence;
  const gain = BigInt(honest_cost_ppm - cheat_cost_ppm);
  const caught = (BigInt(detection_ppm) * (PPM - BigInt(collusion_ppm))) / PPM - BigInt(false_alarm_ppm);
  if (atStake <= 0n || caught <= 0n) return CERTAIN;
  if (gain <= 0n) return 0n;
  const least = ceilDivide(gain * exposure * CERTAIN, caught * (exposure + atStake));
  return least < CERTAIN ? least : CERTAIN;
}

/** A threshold, or that of the rate that suspicion or a standing asks for, where it is higher. */
export function raised(threshold, leastRatePpm) {
  const asked = ceilDivide(BigInt(leastRatePpm) * CERTAIN, PPM);
  return threshold > asked ? threshold : asked;
}

/** Whether the row with this digest is checked. */
export const isSampled = (seed, digest, threshold) => toInteger(keccak(seed, fromHex(digest))) < threshold;

/** Verifier accounts in the order in which they are on duty. `stakes`: account -> units. */
export function drawVerifiers(seed, digest, stakes) {
  const left = Object.entries(stakes)
    .map(([account, stake]) => [Number(account), BigInt(stake)])
    .filter(([, stake]) => stake > 0n)
    .sort(([a], [b]) => a - b);
  const order = [];
  while (left.length) {
    const total = left.reduce((sum, [, stake]) => sum + stake, 0n);
    let point = toInteger(keccak(seed, fromHex(digest), Uint8Array.of(order.length))) % total;
    const found = left.findIndex(([, stake]) => point < stake || ((point -= stake), false));
    order.push(left.splice(found, 1)[0][0]);
  }
  return order;
}

const bitAt = (bits, index) => ((fromHex(bits)[index >> 3] >> (index & 7)) & 1) === 1;

/**
 * What became of a leaf. `settlement`: {voidBits, skippedBits} or null; `alone`: whether it was paid by itself;
 * `revealed`: whether the next epoch is posted. Times in Unix seconds.
 */
export function outcomeOf({ index, settlement, alone, revealed, postedAt, settleWaitS, nowS }) {
  if (alone) return "alone";
  if (settlement && bitAt(settlement.voidBits, index)) return "void";
  if (settlement) return bitAt(settlement.skippedBits, index) ? "skipped" : "paid";
  if (nowS > postedAt + settleWaitS) return "stranded";
  return revealed ? "revealed" : "posted";
}

/** A threshold as the vectors have it: 33 bytes, 0x hex. */
export const thresholdHex = (threshold) => toHex(Uint8Array.of(threshold === CERTAIN ? 1 : 0, ...word(threshold % CERTAIN)));
