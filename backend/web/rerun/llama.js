// A model of the exact engine in WebAssembly: its own kernels, compiled from the C that a node runs
// (node_agent/execution/exact/kernels/standalone.c). The model file: SPEC.md there.

import { parseJson } from "../shared/protocol.js";

export const ROWS = 128; // most tokens of a `read`
const FORMAT = "assay/exact/1";
const BYTES = { I8: 1, I16: 2, I32: 4 };

/** The configuration and the tensors of a model file's bytes. Throws for another file. */
function open(file) {
  const size = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = parseJson(new TextDecoder().decode(file.subarray(8, 8 + size)));
  const { format, config } = header.__metadata__ ?? {};
  if (format !== FORMAT) throw new Error(`The model file is of the format ${format}; this page reads ${FORMAT}.`);
  /** The bytes of a tensor of this kind and shape. */
  const tensor = (name, kind, ...shape) => {
    const found = header[name];
    if (found?.dtype !== kind || String(found.shape) !== String(shape)) {
      throw new Error(`The model file has no ${name} of ${shape.join(" by ")} ${kind}.`);
    }
    const [start, stop] = found.data_offsets;
    const bytes = file.subarray(8 + size + start, 8 + size + stop);
    if (bytes.length !== shape.reduce((a, b) => a * b, BYTES[kind])) throw new Error(`${name} is cut short.`);
    return bytes;
  };
  return { config: parseJson(config), tensor };
}

export class Llama {
  /** `kernels`: the compiled WebAssembly.Module; `file`: the model file's bytes. */
  constructor(kernels, file) {
    this.kernels = new WebAssembly.Instance(kernels, {}).exports;
    const { config, tensor } = open(file);
    this.config = config;
    this.#assemble(config, (...wanted) => this.#placed(tensor(...wanted)));
    this.asked = this.#take(4 * (4 + ROWS));
    this.exp2 = new Int32Array(tensor("table.exp2", "I32", 4096).slice().buffer);
  }

  /** Reads tokens after the first `used` of a text. Returns the logits of the last `wanted`, an Int32Array each. */
  read(used, tokens, wanted) {
    const { vocab_size: size, positions } = this.config;
    if (used + tokens.length > positions) throw new Error(`The model has ${positions} positions; the job needs more.`);
    if (tokens.length > ROWS || tokens.some((token) => token >= size)) throw new Error("No token of this model.");
    new Int32Array(this.kernels.memory.buffer, this.asked).set([0, used, tokens.length, wanted, ...tokens]);
    const found = this.kernels.llama_read(this.asked, 1) >>> 0;
    const rows = new Int32Array(this.kernels.memory.buffer, found, wanted * size).slice();
    return Array.from({ length: wanted }, (_, row) => rows.subarray(row * size, (row + 1) * size));
  }

  #take(bytes) {
    try {
      return this.kernels.take(bytes) >>> 0;
    } catch {
      throw new Error(`This browser has no ${bytes} bytes more for the model.`);
    }
  }

  #placed(bytes) {
    const place = this.#take(bytes.length);
    new Uint8Array(this.kernels.memory.buffer).set(bytes, place);
    return place;
  }

  /** Gives the kernels all sizes and tensors, in the order of `llama` in standalone.c. `place` returns where it lies. */
  #assemble(c, place) {
    const { hidden_size: width, intermediate_size: inner, head_dim: d, vocab_size: size, positions } = c;
    const [heads, keys] = [c.num_attention_heads * d, c.num_key_value_heads * d];
    const most = (bits) => 2 ** (bits - 1) - 1;
    const matrix = (name, outputs, inputs, bias = false) => [
      place(`${name}.weight`, "I8", outputs, inputs),
      place(`${name}.multiplier`, "I32", outputs),
      bias ? place(`${name}.bias`, "I32", outputs) : 0,
      place(`${name}.exponent`, "I32", 1),
    ];
    const layer = (name) => [
      ...matrix(`${name}.qkv`, heads + 2 * keys, width, c.qkv_bias),
      ...matrix(`${name}.attention_out`, width, heads),
      ...matrix(`${name}.gate_up`, 2 * inner, width),
      ...matrix(`${name}.down`, width, inner),
      ...["attention_norm", "mlp_norm"].map((norm) => place(`${name}.${norm}`, "I32", width)),
      ...["query_norm", "key_norm"].map((norm) => (c.head_epsilon ? place(`${name}.${norm}`, "I32", d) : 0)),
    ];
    const tables = [["exp2", "I32", 4096], ["sigmoid", "I32", 32768], ["cos", "I16", positions, d / 2], ["sin", "I16", positions, d / 2]];
    const embedding = matrix("embedding", size, width);
    const tensors = [
      ...tables.map(([name, ...wanted]) => place(`table.${name}`, ...wanted)),
      ...embedding,
      ...(c.tied ? embedding : matrix("head", size, width)),
      place("final_norm", "I32", width),
      ...Array.from({ length: c.num_hidden_layers }, (_, i) => layer(`layers.${i}`)).flat(),
    ];
    const numbers = [
      width, inner, c.num_attention_heads, c.num_key_value_heads, d, most(c.query_bits), most(c.key_bits), c.epsilon,
      c.window ?? 0, c.head_epsilon ?? 0, c.num_hidden_layers, size, positions,
    ];
    const bytes = (array) => new Uint8Array(array.buffer);
    this.kernels.llama(
      this.#placed(bytes(BigInt64Array.from(numbers, BigInt))),
      this.#placed(bytes(Uint32Array.from(tensors))),
    );
  }
}
