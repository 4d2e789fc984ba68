// Finds a job in the published log (contracts/SPEC.md, section 11) and checks what its parties signed. Fetches the log.

import {
  canonical, commitmentData, digestOf, fromHex, isNamed, keccak, orderData, parseJson, signerOf, toHex, utf8, workloadId,
} from "../shared/protocol.js";
import { shownHash } from "./trace.js";

const ENGINE = { engine: "exact", engine_version: "2", meter: "new_tokens" };

/** A fact that the log asserts and that does not hold. */
const require = (holds, fact) => {
  if (!holds) throw new Error(`Does not hold: ${fact}.`);
};

async function fetched(log, path) {
  const address = new URL(path, log.endsWith("/") ? log : `${log}/`);
  const answer = await fetch(address).catch(() => null);
  if (answer === null) throw new Error(`${address.origin} does not answer, or lets no page of another host read it.`);
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${address.href} answers with the status ${answer.status}.`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function blob(log, name) {
  const bytes = await fetched(log, `blobs/${name}`);
  require(bytes === null || isNamed(bytes, name), `the log's blob ${name} has this name`);
  return bytes;
}

/** All entries of all epochs, in order. */
async function* entries(log) {
  for (let epoch = 1; ; epoch++) {
    const file = await fetched(log, `epochs/${epoch}.jsonl`);
    if (file === null) return;
    for (const line of new TextDecoder().decode(file).split("\n")) if (line) yield { epoch, ...parseJson(line) };
  }
}

/**
 * The job of an order: {epoch, order, manifest, commitment, prompts, output, shown}; `output` and `shown`, the node's
 * trace, are null where they are not published. `network`: {chain_id, escrow}. Throws in words.
 */
export async function findJob(log, network, orderId) {
  const workloads = new Map();
  const traces = new Map();
  const rows = new Map();
  let ordered = null;
  let committed = null;
  for await (const entry of entries(log)) {
    if (entry.kind === "workload") {
      workloads.set(workloadId(utf8(canonical(entry.manifest))), entry.manifest);
    } else if (entry.kind === "order" && toHex(digestOf(orderData(network, entry.order))) === orderId) {
      ordered = entry;
    } else if (entry.kind === "commitment" && entry.commitment.order_id === orderId) {
      committed = entry;
    } else if (entry.kind === "row") rows.set(entry.digest, entry);
    else if (entry.kind === "trace") traces.set(entry.commitment_digest, entry.trace);
  }
  require(ordered && committed, `the log of escrow ${network.escrow} on chain ${network.chain_id} has the order ${orderId}`);
  const { order } = ordered;
  const { commitment } = committed;
  const digest = digestOf(commitmentData(network, commitment));
  require(signerOf(fromHex(orderId), ordered.signature) === ordered.signer, "the order is signed by its lane's signer");
  require(signerOf(digest, committed.signature) === commitment.node, "the commitment is signed by its node");
  const paid = rows.get(toHex(digest));
  require(paid, "a row of the log charges this commitment");
  const manifest = workloads.get(order.terms.workload_id);
  require(manifest, "the log has the order's workload");
  for (const [name, value] of Object.entries(ENGINE)) {
    if (manifest[name] !== value) throw new Error(`This page runs jobs whose ${name} is ${value}; its is ${manifest[name]}.`);
  }
  const prompts = await blob(log, order.terms.prompt_root);
  if (prompts === null) throw new Error("The order's input is not published, so only its parties can run it again.");
  const shown = traces.has(toHex(digest)) ? await blob(log, traces.get(toHex(digest))) : null;
  const isSigned = (trace) => traceCommit(shownHash(trace), commitment) === commitment.trace_commit;
  require(shown === null || isSigned(shown), "the trace that was shown is the one that the node signed");
  return { epoch: paid.epoch, order, manifest, commitment, prompts, output: await blob(log, commitment.output_root), shown };
}

/** What a node signs of a trace hash: bound to order and node, so that nobody can copy it. 0x hex. */
export const traceCommit = (traceHash, { order_id, node }) => toHex(keccak(traceHash, fromHex(order_id), fromHex(node)));
