// The backend's HTTP API. Integers too large for a double become BigInts; refusals become errors with their own words.

import { canonical, parseJson } from "./protocol.js";

const ROOT = new URL("../../", import.meta.url);

/** The URL of a path of the backend. */
export const urlOf = (path) => new URL(path, ROOT).href;

/** A refusal of the backend. `code` is for programs, the message names the value and the way out. */
export class Refusal extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code });
  }
}

/** The backend did not answer. */
export class Unreachable extends Error {
  constructor() {
    super("The backend does not answer. Nothing is lost: try again in a moment.");
  }
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(urlOf(path), { cache: "no-cache", ...options });
  } catch {
    throw new Unreachable();
  }
  if (response.ok) return response;
  let problem;
  try {
    problem = parseJson(await response.text());
  } catch {
    throw new Unreachable();
  }
  throw new Refusal(response.status, problem.code, problem.detail);
}

/** What `read` promises, kept under its key; after a failure the next call reads again. */
export function once(kept, key, read) {
  if (!kept.has(key)) {
    const found = read();
    found.catch(() => kept.delete(key));
    kept.set(key, found);
  }
  return kept.get(key);
}

export const getJson = async (path) => parseJson(await (await send(path)).text());
export const getBytes = async (path) => new Uint8Array(await (await send(path, { cache: "default" })).arrayBuffer());
export const putBytes = (path, body) =>
  send(path, { method: "PUT", body, headers: { "content-type": "application/octet-stream" } });
export const postJson = async (path, value) =>
  parseJson(
    await (
      await send(path, { method: "POST", body: canonical(value), headers: { "content-type": "application/json" } })
    ).text(),
  );
