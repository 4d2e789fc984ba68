// The order form: texts and parameters by the workload's manifest, the price in words before anything is signed.

import { $, h, plural, setText, show } from "../shared/page.js";
import { doing } from "./actions.js";
import { faultOf, offers, quote, submit } from "./orders.js";
import { Plain } from "./wallet.js";

const DEFAULT_NEW_TOKENS = 32;

/** "max_new_tokens" -> "New tokens, at most". */
function labelOf(name) {
  const words = name.replace(/^max_/, "").replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1) + (name.startsWith("max_") ? ", at most" : "");
}

export async function orderPanel(desk) {
  const { chain, network, scale } = desk;
  const sheet = await offers(network);
  const form = $("order-form");
  let offer = null;

  const texts = () => [...$("texts").querySelectorAll("textarea")].map((area) => area.value.toWellFormed());
  const params = () =>
    Object.fromEntries([...$("params").querySelectorAll("input")].map((input) => [input.name, Number(input.value)]));

  function choose(id) {
    offer = sheet.find((entry) => entry.workload_id === id);
    const { manifest } = offer;
    $("texts").replaceChildren(textField(1));
    show($("add-text"), manifest.input.max_texts > 1);
    $("params").replaceChildren(...Object.entries(manifest.params).map(([name, range]) => paramField(name, range)));
    setText($("workload-only"), `${manifest.model}, ${manifest.kind}`);
    price();
  }

  function textField(position) {
    const area = h("textarea", { name: "text", required: true, rows: 4 });
    return h("label", {}, position > 1 ? `Text ${position}` : "What do you want to ask?", area);
  }

  function paramField(name, { minimum, maximum }) {
    const most = name === "max_new_tokens" ? Math.min(maximum, offer.max_units) : maximum;
    const value = name === "max_new_tokens" ? Math.min(most, DEFAULT_NEW_TOKENS) : minimum;
    const input = h("input", { type: "number", name, min: minimum, max: most, step: 1, value, required: true });
    return h("label", {}, labelOf(name), input);
  }

  function paramFault() {
    for (const input of $("params").querySelectorAll("input")) {
      if (!input.checkValidity()) return `“${input.value}” is outside ${input.min} to ${input.max}; change it.`;
    }
    return null;
  }

  /** What would be signed, before it is. */
  function price() {
    if (paramFault()) return setText($("price"), paramFault());
    const { units, max } = quote(offer, texts(), params());
    return setText(
      $("price"),
      `You sign: at most ${scale.show(max)} for up to ${plural(units, offer.unit)}. You pay ` +
        `${scale.show(offer.fixed_price)} plus ${scale.show(offer.unit_price)} for each ${offer.unit} that comes, ` +
        "and nothing if no answer comes.",
    );
  }

  async function order(say) {
    const asked = texts();
    const fault = faultOf(offer, asked) ?? paramFault();
    if (fault) throw new Plain(fault);
    const view = await submit(chain, offer, asked, params(), scale, say);
    $("texts").replaceChildren(textField(1));
    price();
    await desk.openJob(view.order_id, { focus: true });
    await desk.refresh();
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
  return { refresh: async () => {} };
}
