#!/usr/bin/env node
// The compiler for forge: npm's `solc` behind the two calls that forge makes of a native one,
// `--version` and `--standard-json` (input on stdin). npm carries no native one.
"use strict";

const fs = require("fs");
const solc = require("solc");

if (process.argv.includes("--version")) {
  const version = solc.version().replace("Emscripten.clang", "Linux.g++");
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version}\n`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(fs.readFileSync(0, "utf8")));
} else {
  process.stderr.write("solc.js answers --version and --standard-json only\n");
  process.exit(2);
}
