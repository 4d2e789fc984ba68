// Runs a job again: reads prompts and the claimed answers in one pass, and generates from where they differ.

import { pack, packedRoot, unpack } from "../shared/protocol.js";
import { traceCommit } from "./job.js";
import { ROWS } from "./llama.js";
import { WHOLE_PPM, choose, seedOf } from "./sampling.js";
import { firstDifference, rowDigest, traceHash } from "./trace.js";

/** The answer to one text, and the digests of the logits that its tokens were chosen from. `claimed` only saves work. */
function answer(model, text, prompt, claimed, { limit, stops, how }, progress) {
  const chosen = [];
  const rows = [];
  const done = () => chosen.length === limit || stops.has(chosen.at(-1));
  const last = model.config.vocab_size - 1; // a claimed token beyond it is wrong, and so is this one
  let whole = [...prompt, ...claimed.slice(0, limit - 1).map((token) => Math.min(token, last))];
  for (let used = 0; !done(); ) {
    if (used === whole.length) whole = [...prompt, ...chosen];
    const tokens = whole.slice(used, used + ROWS);
    const first = used;
    const wanted = Math.max(0, Math.min(tokens.length, used + tokens.length - prompt.length + 1));
    used += tokens.length - wanted;
    for (const logits of model.read(first, tokens, wanted)) {
      used += 1;
      rows.push(rowDigest(logits));
      chosen.push(choose(logits, model.exp2, how, text, chosen.length));
      progress();
      if (done()) break;
      if (used < whole.length && whole[used] !== chosen.at(-1)) {
        whole = [...prompt, ...chosen]; // the claim was wrong: what follows is generated
        break;
      }
    }
  }
  return { chosen, rows };
}

/** The claimed answers; none where they are not published or are no packed lists. */
function claims(output) {
  try {
    return output === null ? [] : unpack(output);
  } catch (error) {
    if (error instanceof RangeError) return [];
    throw error;
  }
}

/** What this browser computes for a job, beside what the node signed. `progress(tokens)` is called for each token. */
export function rerun(model, job, progress) {
  const { order, manifest, commitment } = job;
  const { params, prompt_root: root } = order.terms;
  const parameter = (name, otherwise) => (name in manifest.params ? params[name] : otherwise);
  const how = {
    temperature: parameter("temperature_milli", 0),
    topP: parameter("top_p_ppm", WHOLE_PPM),
    seed: seedOf(parameter("seed", 0), root),
  };
  const task = { limit: params.max_new_tokens, stops: new Set(manifest.stops), how };
  const claimed = claims(job.output);
  let units = 0;
  const count = () => progress((units += 1));
  const found = unpack(job.prompts).map((prompt, text) => answer(model, text, prompt, claimed[text] ?? [], task, count));
  const output = pack(found.map(({ chosen }) => chosen));
  const hash = traceHash(found.map(({ rows }) => rows));
  return {
    traceHash: hash,
    units,
    facts: {
      output: packedRoot(output) === commitment.output_root,
      trace: traceCommit(hash, commitment) === commitment.trace_commit,
      units: units === commitment.units,
    },
    token: job.output === null ? null : firstToken(claimed, found.map(({ chosen }) => chosen)),
    rows: job.shown === null ? null : firstDifference(job.shown, found.map(({ rows }) => rows)),
  };
}

/** The first text and place in which two outputs differ; null if they do not. */
function firstToken(theirs, ours) {
  for (let text = 0; text < Math.max(theirs.length, ours.length); text++) {
    const [one, other] = [theirs[text] ?? [], ours[text] ?? []];
    for (let place = 0; place < Math.max(one.length, other.length); place++) {
      if (one[place] !== other[place]) return [text, place];
    }
  }
  return null;
}
