// The network's public figures. They come from the backend; the audit command recomputes each from the chain.

import { getJson, urlOf } from "../shared/api.js";
import { $, Scale, fillRow, h, hash, plural, refresh, repeatedly, row, setText, short, show } from "../shared/page.js";

const REFRESH_MS = 3000;

let scale = null;

async function look() {
  const [network, books, epochs, nodes] = await Promise.all(
    ["network", "books", "epochs", "nodes"].map((name) => getJson(`v1/${name}`)),
  );
  scale = new Scale(books.token_decimals, network.constants.unit_wei, books.token_symbol);
  drawBooks(books);
  drawEpochs(epochs);
  drawNodes(nodes);
  drawSheet(network);
  drawAudit(network);
}

function drawBooks(books) {
  const total = BigInt(books.unexplained_wei);
  setText($("unexplained"), total.toString());
  $("unexplained-card").classList.toggle("alarm", total !== 0n);
  setText(
    $("unexplained-note"),
    total === 0n
      ? "Every token that the contracts hold is owed to somebody or was donated."
      : "The contracts hold another amount than the books say. Run the audit below: it names the first wrong entry.",
  );
  refresh($("books"), books.contracts, (c) => c.contract,
    () => row("Contract", "Held", "Owed", "Donated", "Unexplained"),
    (tr, c) => fillRow(tr, c.contract, ...[c.held_wei, c.owed_wei, c.donated_wei].map((wei) => scale.showWei(BigInt(wei))),
      `${c.unexplained_wei} wei`));
  setText($("books-block"), `As of block ${books.block_number}.`);
}

function drawEpochs(epochs) {
  const settled = epochs.filter((epoch) => epoch.state === "settled").length;
  setText($("epochs-count"), epochs.length ? `${plural(epochs.length, "epoch")} shown, ${settled} settled` : "");
  refresh($("epochs"), epochs, (epoch) => epoch.epoch_id,
    () => row("Epoch", "State", "Rows", "Charged", "Void", "Skipped", "Post", "Settlement", "Log"),
    (tr, e) => fillRow(tr, String(e.epoch_id), h("span", { className: `chip ${e.state}` }, e.state), String(e.rows),
      e.settle_tx ? scale.show(e.charged) : "", count(e.void_rows), count(e.skipped_rows), transaction(e.post_tx),
      transaction(e.settle_tx), logLink(e)));
  show($("epochs-none"), epochs.length === 0);
}

const count = (rows) => (rows.length ? String(rows.length) : "0");
const transaction = (tx) => (tx ? hash(tx) : "");

function logLink({ epoch_id }) {
  const link = h("a", { href: urlOf(`v1/log/epochs/${epoch_id}.jsonl`), download: `epoch-${epoch_id}.jsonl` }, "log");
  link.setAttribute("aria-label", `published log of epoch ${epoch_id}`);
  return link;
}

function drawNodes(nodes) {
  setText($("nodes-count"), nodes.length ? plural(nodes.length, "operator") : "");
  refresh($("nodes"), nodes, (node) => node.operator_id,
    () => row("Operator", "Node keys", "Stake", "Earned", "Jobs", "Checked", "Slashed"),
    (tr, n) => fillRow(tr, operator(n), h("span", {}, ...n.nodes.map(hash)), scale.show(n.stake), scale.show(n.earned),
      String(n.delivered_jobs), String(n.checked_jobs), n.slashed ? scale.show(n.slashed) : "0"));
  show($("nodes-none"), nodes.length === 0);
}

function operator({ operator_id, suspended, native }) {
  const marks = suspended ? [chip("suspended", "suspended", "The court found it guilty: it gets no jobs.")] : [];
  if (native.state === "watch") marks.push(chip("watch", "on watch", `At least ${native.least_rate_ppm / 10000} % of its native work is checked.`));
  if (native.state === "withheld") marks.push(chip("withheld", "native work withheld", "Verifiers saw another model's work: it gets no native jobs."));
  return h("span", {}, String(operator_id), ...marks.flatMap((mark) => [" ", mark]));
}

const chip = (kind, says, title) => h("span", { className: `chip ${kind}`, title }, says);

function drawSheet({ price_sheet }) {
  refresh($("sheet"), price_sheet, (entry) => entry.workload_id,
    () => row("Model", "A job", "A unit", "Unit", "Served by"),
    (tr, e) => fillRow(tr, e.model, scale.show(e.fixed_price), scale.show(e.unit_price), e.unit, served(e.serving)));
}

const served = (nodes) => (nodes ? plural(nodes, "node") : "nobody now");

function drawAudit(network) {
  const rpc = network.public_rpc ?? "RPC_URL";
  setText($("audit"), `assay audit --rpc ${rpc} --escrow ${network.escrow} --log ${urlOf("v1/log")}`);
  const named = ["escrow", "stake_manager", "court", "contests", "token", "settler"].filter((name) => network[name]);
  refresh($("addresses"), named, (name) => name,
    (name) => h("div", {}, h("dt", {}, name.replace("_", " ")), h("dd", {})),
    (div, name) => {
      if (div.lastChild.textContent !== short(network[name])) div.lastChild.replaceChildren(hash(network[name]));
    });
}

function fresh() {
  setText($("fresh"), "Live");
  show($("alert"), false);
}

function stale(error) {
  setText($("fresh"), "");
  setText($("alert"), `${error.message} The figures below may be old.`);
  show($("alert"), true);
}

repeatedly(() => look().then(fresh, stale), REFRESH_MS);
