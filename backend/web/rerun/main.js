// Runs a paid job again in this browser, and says whether the node's hash comes out.

import { $, plural, setText, show } from "../shared/page.js";
import { findJob } from "./job.js";

const FIELDS = ["log", "order", "chain", "escrow", "model"];

function say(text, kind = "") {
  setText($("say"), text);
  $("say").className = `say ${kind}`;
}

/** What a link to this page already knows, and else the backend that serves it. */
async function fillIn() {
  const told = new URLSearchParams(location.search);
  for (const name of FIELDS) $(name).value = told.get(name) ?? "";
  if ($("log").value) return;
  const answer = await fetch(new URL("../../v1/network", location.href)).catch(() => null);
  if (!answer?.ok) return; // served from a folder
  const { chain_id, escrow } = await answer.json();
  $("log").value = new URL("../../v1/log", location.href).href;
  $("chain").value ||= chain_id;
  $("escrow").value ||= escrow;
}

async function modelFile() {
  const [picked] = $("file").files;
  if (picked) return new Uint8Array(await picked.arrayBuffer());
  if (!$("model").value) throw new Error("Choose the workload's model file, or give its URL.");
  const answer = await fetch($("model").value).catch(() => null);
  if (!answer?.ok) throw new Error(`The model file cannot be read from ${$("model").value}.`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** What a worker finds. Rejects with its refusal. */
function worked(file, job) {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.tokens) return say(`${plural(data.tokens, "token")} of ${job.commitment.units} …`);
      worker.terminate();
      return data.found ? resolve(data.found) : reject(new Error(data.refused));
    };
    worker.onerror = (event) => reject(new Error(event.message ?? "This browser runs no module workers."));
    worker.postMessage({ file, job }, [file.buffer]);
  });
}

const TEXTS = {
  output: ["The answer is the one that the node signed", "The answer is not the one that the node signed"],
  trace: ["The trace hash is the one that the node signed", "The trace hash is not the one that the node signed"],
  units: ["As many tokens as were charged", "Another number of tokens than was charged"],
};

function draw(job, found, seconds) {
  const items = Object.entries(found.facts).map(([name, holds]) => {
    const item = document.createElement("li");
    item.className = String(holds);
    item.textContent = TEXTS[name][holds ? 0 : 1];
    return item;
  });
  $("facts").replaceChildren(...items);
  setText($("hash"), found.traceHash);
  setText($("node"), job.commitment.node);
  setText($("speed"), `${plural(found.units, "token")} in ${seconds.toFixed(1)} s`);
  const [token, rows] = [found.token, found.rows];
  const where = [
    token && `text ${token[0]}, token ${token[1]}`,
    rows && `the traces in text ${rows[0]}, tokens ${rows[1]} to ${rows[2]}`,
  ].filter(Boolean);
  setText($("first"), where.length ? `First difference: ${where.join("; ")}.` : "");
  show($("result"), true);
  const same = Object.values(found.facts).every(Boolean);
  if (same) say("The same, bit for bit: this browser computed what the node was paid for.", "done");
  else say("NOT the same: this browser computed something else than the node signed.", "error");
}

async function go() {
  show($("result"), false);
  say("Reading the log …");
  const network = { chain_id: Number($("chain").value), escrow: $("escrow").value.toLowerCase() };
  const job = await findJob(new URL($("log").value, location.href).href, network, $("order").value.toLowerCase());
  say(`Found in epoch ${job.epoch}. Reading ${job.manifest.model} …`);
  const file = await modelFile();
  const started = performance.now();
  draw(job, await worked(file, job), (performance.now() - started) / 1000);
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("run").disabled = true;
  go()
    .catch((error) => say(error.message, "error"))
    .finally(() => ($("run").disabled = false));
});
fillIn();
