// The order form: texts and parameters by the workload's manifest, and the price before anything is signed.

import { getJson } from "../shared/api.js";
import { $, h, plural, setText, show } from "../shared/page.js";
import { doing } from "./actions.js";
import { faultOf, offers, quote, submit } from "./orders.js";
import { Plain } from "./wallet.js";

const DEFAULT_NEW_TOKENS = 64; // where the manifest says nothing
const PARTS = { milli: 1_000, ppm: 1_000_000 }; // parameters count parts; people write whole ones

/** How many of a parameter's parts make one of what people write: "temperature_milli" -> 1000. */
const partsOf = (name) => PARTS[name.split("_").at(-1)] ?? 1;

/** "max_new_tokens" -> "New tokens, at most"; "temperature_milli" -> "Temperature". */
function labelOf(name) {
  const bare = partsOf(name) > 1 ? name.slice(0, name.lastIndexOf("_")) : name;
  const words = bare.replace(/^max_/, "").replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1) + (name.startsWith("max_") ? ", at most" : "");
}

export async function orderPanel(app) {
  const { chain, network, scale } = app;
  const sheet = await offers(network);
  const form = $("order-form");
  let offer = null;

  const texts = () => [...$("texts").querySelectorAll("textarea")].map((area) => area.value.toWellFormed());
  const params = () =>
    Object.fromEntries(
      [...$("params").querySelectorAll("input")].map((input) => [
        input.name,
        Math.round(Number(input.value) * partsOf(input.name)),
      ]),
    );

  function choose(id) {
    offer = sheet.find((entry) => entry.workload_id === id);
    const { manifest } = offer;
    $("texts").replaceChildren(textField(1));
    show($("add-text"), manifest.input.max_texts > 1);
    $("params").replaceChildren(...Object.entries(manifest.params).map(([name, range]) => paramField(name, range)));
    setText($("workload-only"), `${manifest.model}, ${manifest.kind}`);
    $("wait-for-node").checked = false;
    showServing();
    price();
  }

  function textField(position) {
    const area = h("textarea", { name: "text", required: true, rows: 4 });
    return h("label", {}, position > 1 ? `Text ${position}` : "What do you want to ask?", area);
  }

  function paramField(name, range) {
    const bounded = name === "max_new_tokens";
    const most = bounded ? Math.min(range.maximum, offer.max_units) : range.maximum;
    const value = Math.min(most, range.default ?? (bounded ? DEFAULT_NEW_TOKENS : range.minimum));
    const [min, max, shown] = [range.minimum, most, value].map((number) => number / partsOf(name));
    const step = partsOf(name) > 1 ? "any" : 1;
    const input = h("input", { type: "number", name, min, max, step, value: shown, required: true });
    return h("label", {}, labelOf(name), input);
  }

  /** Warns if nobody serves the workload, as the backend last said. */
  const showServing = () => show($("nobody"), offer.serving === 0);

  /** Throws unless a node serves the workload now, or the user said that the order may wait for one. */
  async function requireServed() {
    await refresh();
    if (offer.serving > 0 || $("wait-for-node").checked) return;
    $("wait-for-node").focus();
    throw new Plain("Nobody serves this workload now. Nothing was signed. Tick the box above to order anyway.");
  }

  async function refresh() {
    if (!offer) return;
    const found = await getJson("v1/network");
    for (const entry of sheet) {
      entry.serving = found.price_sheet.find(({ workload_id }) => workload_id === entry.workload_id)?.serving ?? 0;
    }
    showServing();
  }

  function paramFault() {
    for (const input of $("params").querySelectorAll("input")) {
      if (!input.checkValidity()) return `“${input.value}” is outside ${input.min} to ${input.max}; change it.`;
    }
    return null;
  }

  /** Shows what would be signed. */
  function price() {
    if (paramFault()) return setText($("price"), paramFault());
    const { units, max } = quote(offer, texts(), params());
    if (units > offer.max_units) return setText($("price"), tooMuch(units));
    return setText(
      $("price"),
      `You sign: at most ${scale.show(max)} for up to ${plural(units, offer.unit)}. You pay ` +
        `${scale.show(offer.fixed_price)} plus ${scale.show(offer.unit_price)} for each ${offer.unit} of the answer, ` +
        "and nothing if no answer comes.",
    );
  }

  /** Says that an order is larger than the offer allows. */
  const tooMuch = (units) =>
    `These could take ${plural(units, offer.unit)}; one order may take ${offer.max_units}. Ask for less, or send several orders.`;

  async function order(say) {
    const asked = texts();
    const fault = faultOf(offer, asked) ?? paramFault();
    if (fault) throw new Plain(fault);
    const { units } = quote(offer, asked, params());
    if (units > offer.max_units) throw new Plain(tooMuch(units));
    await requireServed();
    const view = await submit(chain, offer, asked, params(), scale, say);
    $("texts").replaceChildren(textField(1));
    price();
    await app.openJob(view.order_id, { focus: true });
    await app.refresh();
    return "Ordered.";
  }

  form.oninput = price;
  form.onsubmit = (event) => {
    event.preventDefault();
    doing($("order-button"), $("order-say"), order);
  };
  $("add-text").onclick = () => {
    const count = $("texts").childElementCount;
    if (count < offer.manifest.input.max_texts) $("texts").append(textField(count + 1));
    $("texts").lastChild.querySelector("textarea").focus();
    price();
  };
  $("workload").replaceChildren(
    ...sheet.map((entry) => h("option", { value: entry.workload_id }, `${entry.manifest.model} (${entry.manifest.kind})`)),
  );
  $("workload").onchange = () => choose($("workload").value);
  show($("workload-label"), sheet.length > 1);
  show($("workload-only"), sheet.length === 1);
  show(form, sheet.length > 0);
  if (sheet.length) choose(sheet[0].workload_id);
  return { refresh };
}
