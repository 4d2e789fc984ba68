// Shows one order as it runs, with its answer and the checks of it; and the list of all orders.

import { urlOf } from "../shared/api.js";
import { $, clock, h, hash, refresh as refreshRows, setText, short, show, sleep } from "../shared/page.js";
import { FINAL, chargedOf, checks, isCut, list, read, receiptOf, receiptPath, texts } from "./orders.js";

const STEPS = ["Ordered", "Running", "Answered", "Rooted", "Settled"];
const REACHED = { queued: 1, leased: 2, delivered: 3, rooted: 4, skipped: 4, paid: 5, void: 5, expired: 5 };
const WORDS = {
  queued: () => "Waits for a node.",
  leased: (view) => `Node ${short(view.node)} works on it.`,
  delivered: () => "Answered. Waits for the next epoch's root on chain.",
  rooted: () => "Its epoch's root is on chain. Settles after the check period.",
  paid: () => "Settled on chain: the node was paid.",
  void: () => "Proven wrong: you were charged nothing.",
  skipped: () =>
    "Your lane could not pay when its epoch settled, so this row was skipped. The node may still collect it; " +
    "deposit what is missing.",
  expired: () => "No node delivered before the deadline. You were charged nothing.",
};
const POLL_MS = 1000;

export function jobPanel(app) {
  const { chain, scale } = app;
  let open = null;
  let shown = "";

  async function draw(view) {
    const state = JSON.stringify([view.order_id, view.state]);
    if (state === shown) return;
    const [{ asked, answered, cut, output }, receipt] = await Promise.all([texts(view), receiptOf(view)]);
    const found = await checks(chain, view, output, receipt);
    if (open !== view.order_id) return;
    // A failed check runs again: the wallet's view of the chain may lag behind the backend's.
    shown = found.every(({ holds }) => holds) ? state : "";
    show($("job"), true);
    drawProgress(view);
    drawTexts(asked, answered, cut, view.order.terms.params.max_new_tokens);
    drawChecks(found);
    drawReceipt(view, receipt);
  }

  function drawProgress(view) {
    const reached = REACHED[view.state];
    $("job-hash").replaceChildren(hash(view.order_id));
    $("steps").replaceChildren(
      ...STEPS.map((name, i) => {
        const step = h("li", { className: i < reached ? "reached" : "" }, name);
        if (i === reached - 1) step.setAttribute("aria-current", "step");
        return step;
      }),
    );
    setText($("job-state"), WORDS[view.state](view));
    setText($("job-signed"), scale.show(view.order.terms.max_price));
    const charged = chargedOf(view);
    const due = view.amount_units === null ? "nothing yet" : `${scale.show(view.amount_units)} when it settles`;
    setText($("job-charged"), charged === null ? due : scale.show(charged));
  }

  function drawTexts(asked, answered, cut, limit) {
    const pairs = (asked ?? []).flatMap((text, i) => [
      h("p", { className: "asked" }, text),
      ...(answered?.[i] === undefined ? [] : [h("p", { className: "answered" }, answered[i])]),
      ...(cut[i] ? [h("p", { className: "note cut" }, `Cut at ${limit} tokens, the most that you ordered.`)] : []),
    ]);
    $("job-texts").replaceChildren(...pairs);
  }

  function drawChecks(found) {
    show($("checks-title"), true);
    $("checks").replaceChildren(
      ...found.map(({ text, holds }) =>
        h("li", { className: String(holds) }, holds ? text : `Does not hold: ${text}`),
      ),
    );
    show($("job-distrust"), found.some(({ holds }) => !holds));
  }

  function drawReceipt(view, receipt) {
    const link = $("receipt-link");
    link.href = urlOf(receiptPath(view));
    link.download = `receipt-${short(view.order_id).replace("…", "-")}.json`;
    show(link, receipt !== null);
  }

  async function watch(orderId) {
    while (open === orderId) {
      const view = await read(orderId);
      if (open !== orderId) return;
      await draw(view);
      if (FINAL.includes(view.state)) return app.refresh();
      await sleep(POLL_MS);
    }
  }

  /** Shows an order and follows it. If a read fails, the page's refresh reports it and reads again. */
  async function openJob(orderId, { focus = false } = {}) {
    open = orderId;
    shown = "";
    await draw(await read(orderId));
    if (focus) $("job").focus();
    watch(orderId).catch(() => app.refresh());
  }

  show($("job"), false);
  return {
    open: openJob,
    close() {
      open = null;
    },
    async refresh() {
      if (open) await draw(await read(open));
    },
  };
}

export function historyPanel(app) {
  const { scale, wallet } = app;
  const known = new Map(); // order -> whether its answer was cut

  const make = (view) => {
    const parts = [h("span", {}), h("span", { className: "chip" }), h("small"), h("small")];
    const button = h("button", { type: "button" }, ...parts);
    button.onclick = () => app.openJob(view.order_id, { focus: true });
    return h("li", {}, button);
  };
  const fill = (item, view) => {
    const [what, state, when, cost] = item.firstChild.children;
    const charged = chargedOf(view);
    setText(what, short(view.order_id));
    setText(state, view.state);
    state.className = `chip ${view.state}`;
    setText(when, `by ${clock(view.order.terms.deadline)}`);
    const most = `at most ${scale.show(view.order.terms.max_price)}`;
    const paid = charged === null ? most : `charged ${scale.show(charged)}`;
    setText(cost, known.get(view.order_id) ? `${paid}, answer cut` : paid);
  };

  $("history").replaceChildren();
  return {
    async refresh() {
      const views = await list(wallet.account);
      show($("history-none"), views.length === 0);
      const fresh = views.filter((view) => view.commitment !== null && !known.has(view.order_id));
      await Promise.all(fresh.map(async (view) => known.set(view.order_id, await isCut(view))));
      refreshRows($("history"), views, (view) => view.order_id, make, fill);
    },
  };
}
