// Prices, signs and submits orders, and checks what comes back: no claim of the backend is shown as true unchecked.

import { Refusal, getBytes, getJson, once, postJson, putBytes } from "../shared/api.js";
import {
  amountOf,
  canonical,
  commitmentData,
  digestOf,
  fromHex,
  isNamed,
  isUnderRoot,
  keccak,
  keccakHex,
  leafOf,
  mostUnits,
  orderData,
  pack,
  packedRoot,
  signerOf,
  toHex,
  unpack,
  utf8,
  workloadId,
} from "../shared/protocol.js";
import { Plain } from "./wallet.js";

const TTL_PART = 0.9; // of the longest deadline allowed, so that clocks may differ a little
const COMPARATOR_EXACT = 1;
const OPEN = 0;
const NO_PARAMS = { max_new_tokens: 0, temperature_milli: 0, top_p_ppm: 0, seed: 0 }; // 0: the workload has no such parameter

export const FINAL = ["paid", "void", "expired"];
const isFinal = (view) => FINAL.includes(view.state);
const isDelivered = (view) => view.commitment !== null;

const manifests = new Map(); // workload -> promise of its manifest

/** The manifest of a workload, whose id is hashed from its fields. */
const manifestOf = (workload) =>
  once(manifests, workload, async () => {
    const bytes = await getBytes(`v1/workloads/${workload}`);
    if (workloadId(bytes) !== workload) throw new Plain("The backend sent another workload's manifest.");
    return JSON.parse(new TextDecoder().decode(bytes));
  });

/** The price sheet, each entry with its manifest. */
export const offers = async (network) =>
  Promise.all(
    network.price_sheet.map(async (entry) => ({ ...entry, manifest: await manifestOf(entry.workload_id) })),
  );

/** Loaded, with its code, when a text is first tokenized or an answer first shown. */
async function vocabularyOf(workload, manifest) {
  const { vocabularyOf } = await import("../shared/vocabulary.js");
  return vocabularyOf(workload, manifest);
}

/** The token ids of texts from the backend's tokenizer. Throws unless they spell the texts in the workload's template. */
async function tokenized({ manifest, workload_id }, texts) {
  const { prompts } = await postJson("v1/tokenize", { workload_id, texts });
  const { before, after } = manifest.template;
  const vocabulary = await vocabularyOf(workload_id, manifest);
  const own = (ids) => ids.slice(before.length, ids.length - after.length);
  const holds = (ids, text) =>
    String(ids) === String([...before, ...own(ids), ...after]) && vocabulary.spells(own(ids), text);
  if (prompts.length !== texts.length || !texts.every((text, i) => holds(prompts[i], text))) {
    throw new Plain("The backend's tokens do not spell your text. Nothing was signed.");
  }
  return prompts;
}

/** The most that an order of these texts can cost: metered units, and units of the token. */
export function quote(offer, texts, params) {
  const units = mostUnits(offer.manifest, texts, params);
  return { units, max: BigInt(offer.fixed_price) + BigInt(units) * BigInt(offer.unit_price) };
}

/** Why these texts cannot be ordered, in words; null if they can. */
export function faultOf(offer, texts) {
  const { max_bytes, max_texts } = offer.manifest.input;
  if (texts.some((text) => !text.trim())) return "Write what you want to ask; no text may be empty.";
  const longest = Math.max(...texts.map((text) => utf8(text).length));
  if (longest > max_bytes) return `A text has ${longest} bytes; at most ${max_bytes} are accepted. Shorten it.`;
  if (texts.length > max_texts) return `${texts.length} texts are too many; at most ${max_texts} fit in one order.`;
  return null;
}

/** The lane's charges and open maxima by the backend, units. Throws unless the lane covers `max` more. */
export async function room(chain, max, scale) {
  const { account } = chain.wallet;
  const lane = await getJson(`v1/lanes/${account}/${account}`);
  const onChain = await chain.lane(); // read later, so it is no older
  if (BigInt(lane.charged) > onChain.charged) {
    throw new Plain("The backend says that your lane was charged more than the chain says. Do not sign for it.");
  }
  if (lane.under_notice) {
    throw new Plain("You gave notice of a withdrawal, so no orders are accepted. Cancel the notice, then order.");
  }
  const free = BigInt(lane.balance) - BigInt(lane.open_max);
  if (free < max) {
    throw new Plain(
      `This may cost ${scale.show(max)}, and your lane has ${scale.show(free > 0n ? free : 0n)} free. ` +
        `Deposit at least ${scale.show(max - free)} more, then order.`,
    );
  }
  return { charged: BigInt(lane.charged), openMax: BigInt(lane.open_max) };
}

/** Tokenizes and uploads the texts, signs the order and submits it. Returns its view. */
export async function submit(chain, offer, texts, params, scale, say) {
  const { wallet, network } = chain;
  const { max } = quote(offer, texts, params);
  const { charged, openMax } = await room(chain, max, scale);
  const input = utf8(canonical(texts));
  const terms = {
    workload_id: offer.workload_id,
    prompt_root: packedRoot(pack(await tokenized(offer, texts))),
    texts_hash: keccakHex(input),
    params: { ...NO_PARAMS, ...params },
    comparator: COMPARATOR_EXACT,
    copies: 1,
    visibility: OPEN,
    fixed_price: offer.fixed_price,
    unit_price: offer.unit_price,
    max_price: max,
    deadline: Math.floor(Date.now() / 1000 + network.constants.order_ttl_s * TTL_PART),
    salt: crypto.getRandomValues(new BigUint64Array(1))[0],
  };
  const order = { requester: wallet.account, spend_cap: charged + openMax + max, terms };
  say("Sign the order in your wallet.");
  const signature = await wallet.sign(orderData(network, order));
  say("Sending the order…");
  await putBytes(`v1/blobs/${terms.texts_hash}`, input);
  return postJson("v1/orders", { order, signer: wallet.account, signature });
}

/** An order as it stands. */
export const read = (orderId) => getJson(`v1/orders/${orderId}`);

/** The newest orders of an account, newest first. */
export const list = async (account) => (await getJson(`v1/orders?requester=${account}`)).reverse();

/** The texts of an order and of its answer: null where there is none, or it cannot be fetched. */
export async function texts(view) {
  const { terms } = view.order;
  const [input, output] = await Promise.all([
    blob(terms.texts_hash),
    isDelivered(view) ? blob(view.commitment.output_root) : null,
  ]);
  const asked = input && JSON.parse(new TextDecoder().decode(input));
  if (output === null) return { asked, answered: null, cut: [], output };
  const manifest = await manifestOf(terms.workload_id);
  return { asked, answered: await readable(terms.workload_id, manifest, output), cut: cutOf(manifest, output), output };
}

/** Whether an order's answer was cut at its limit. Fetches the output only if it has used the whole limit. */
export async function isCut(view) {
  const { params, workload_id } = view.order.terms;
  if (!isDelivered(view) || params.max_new_tokens === 0 || view.commitment.units < params.max_new_tokens) return false;
  const output = await blob(view.commitment.output_root);
  return output !== null && cutOf(await manifestOf(workload_id), output).includes(true);
}

async function blob(name) {
  try {
    const bytes = await getBytes(`v1/blobs/${name}`);
    return isNamed(bytes, name) ? bytes : null;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

const generates = (manifest) => manifest.meter === "new_tokens";
const hasStopped = (manifest, ids) => manifest.stops.includes(ids.at(-1));

/** Packed output as text, a string per text: what the ids spell without the stop token, or the numbers. */
async function readable(workload, manifest, output) {
  if (!generates(manifest)) return unpack(output, { signed: true }).map((numbers) => JSON.stringify(numbers));
  const vocabulary = await vocabularyOf(workload, manifest);
  return unpack(output).map((ids) => vocabulary.spell(hasStopped(manifest, ids) ? ids.slice(0, -1) : ids));
}

/** Whether each answer of an output ended at the order's limit instead of at a stop token. */
const cutOf = (manifest, output) => unpack(output).map((ids) => generates(manifest) && !hasStopped(manifest, ids));

/** The units charged for an order; null until it is settled. */
export function chargedOf(view) {
  if (view.state === "paid") return BigInt(view.amount_units);
  return isFinal(view) ? 0n : null;
}

/** The receipt of a rooted order; null until there is one. */
export async function receiptOf(view) {
  if (!view.receipt) return null;
  try {
    return await getJson(receiptPath(view));
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

export const receiptPath = (view) => `v1/orders/${view.order_id}/receipt`;

/** This page's own checks of an order: a list of {text, holds}. */
export async function checks(chain, view, output, receipt) {
  const { network } = chain;
  const orderDigest = digestOf(orderData(network, view.order));
  const found = [
    {
      text: "The order is the one your wallet signed",
      holds: toHex(orderDigest) === view.order_id && signed(orderDigest, view.signature, view.signer),
    },
  ];
  if (!isDelivered(view)) return found;
  const { commitment } = view;
  const digest = digestOf(commitmentData(network, commitment));
  const amount = amountOf(view.order.terms, commitment.units);
  found.push(
    { text: "The answer is the one the node committed to", holds: output !== null },
    {
      text: "The commitment is for this order, signed by the node",
      holds:
        commitment.order_id === view.order_id && signed(digest, view.commitment_signature, commitment.node),
    },
    {
      text: "The amount follows from the prices you signed and is within what you signed",
      holds: amount === BigInt(view.amount_units) && amount <= BigInt(view.order.terms.max_price),
    },
  );
  if (!view.receipt) return found;
  const epoch = await chain.epoch(view.receipt.epoch_id);
  found.push(checkLeaf(epoch, view, toHex(digest)));
  if (isFinal(view) && receipt?.settlement) found.push(...checkOutcome(epoch, view, receipt.settlement));
  return found;
}

/** What the settlement did with the row; nothing for a skipped row, which can only be paid on its own. */
function checkOutcome(epoch, view, { void_bits, skipped_bits }) {
  const { index } = view.receipt;
  const has = (bits) => ((fromHex(bits)[index >> 3] >> (index & 7)) & 1) === 1;
  if (has(skipped_bits)) return [];
  const said = toHex(keccak(fromHex(void_bits), fromHex(skipped_bits)).subarray(12));
  const outcome = has(void_bits) ? "void" : "paid";
  const text = outcome === "void" ? "voided this row: nothing was charged for it" : "charged this row";
  return [{ text: `The settlement on chain ${text}`, holds: said === epoch.outcomes && view.state === outcome }];
}

function checkLeaf({ root, count }, view, digest) {
  const { receipt } = view;
  const leaf = leafOf({
    requester: view.order.requester,
    signer: view.signer,
    operatorId: receipt.operator_id,
    amountUnits: view.amount_units,
    digest,
  });
  return {
    text: `Row ${receipt.index} of epoch ${receipt.epoch_id} stands under the root that the chain has`,
    holds: isUnderRoot(leaf, receipt.index, count, receipt.siblings, root),
  };
}

function signed(digest, signature, signer) {
  try {
    return signerOf(digest, signature) === signer;
  } catch {
    return false;
  }
}
