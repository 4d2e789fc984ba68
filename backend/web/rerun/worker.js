// Runs a job beside the page, so that the page stays awake. Gets {file, job}; posts {tokens} as they come, then {found},
// or {refused} with what is wrong.

import { toHex } from "../shared/protocol.js";
import { sha256 } from "../shared/vendor/noble-hashes/sha2.js";
import { bytesToHex } from "../shared/vendor/noble-hashes/utils.js";
import { Llama } from "./llama.js";
import { rerun } from "./rerun.js";

async function compiled() {
  const answer = await fetch(new URL("kernels.wasm", import.meta.url));
  if (!answer.ok) throw new Error("kernels.wasm is not beside this page. Installing Assay compiles it: pip install .");
  return WebAssembly.compile(await answer.arrayBuffer());
}

async function run({ file, job }) {
  const digest = bytesToHex(sha256(file));
  const wanted = job.manifest.weights_sha256;
  if (digest !== wanted) throw new Error(`This file is not the workload's model: its sha256 is ${digest}, not ${wanted}.`);
  const model = new Llama(await compiled(), file);
  const found = rerun(model, job, (tokens) => postMessage({ tokens }));
  return { ...found, traceHash: toHex(found.traceHash) };
}

onmessage = ({ data }) =>
  run(data).then(
    (found) => postMessage({ found }),
    (error) => postMessage({ refused: error.message }),
  );
