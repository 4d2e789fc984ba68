// Small tools for pages: elements, rows that refresh in place, amounts and times in words. Text is never read as HTML.

export const $ = (id) => document.getElementById(id);

/** An element. Properties are set as properties, `data` and `aria` as attributes; children are nodes or text. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  const { data = {}, aria = {}, ...rest } = props;
  Object.assign(element, rest);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Sets text only where it differs, so that nothing flickers and screen readers stay quiet. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const show = (element, visible) => void (element.hidden = !visible);

/** Makes a parent's children match `items`, in order: keeps each by its key, makes it once, fills it each time. */
export function refresh(parent, items, keyOf, make, fill) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, position) => {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child) old.delete(key);
    else {
      child = make(item);
      child.dataset.key = key;
    }
    fill(child, item);
    if (parent.children[position] !== child) parent.insertBefore(child, parent.children[position] ?? null);
  });
  for (const child of old.values()) child.remove();
}

/** A table row of cells; each knows its column's name, which narrow screens show beside it. */
export const row = (...columns) => h("tr", {}, ...columns.map((label) => h("td", { data: { label } })));

/** Fills a row's cells with text or nodes; replaces only what differs. */
export function fillRow(element, ...values) {
  values.forEach((value, i) => {
    const cell = element.children[i];
    if (!(value instanceof Node)) setText(cell, value);
    else if (!cell.firstChild || !cell.firstChild.isEqualNode(value)) cell.replaceChildren(value);
  });
}

export const short = (hex) => (hex.length > 14 ? `${hex.slice(0, 8)}…${hex.slice(-4)}` : hex);

/** A hash or an address, shortened; a click copies all of it. */
export function hash(hex) {
  const button = h("button", { type: "button", className: "hash", title: hex, data: { copy: hex } }, short(hex));
  button.setAttribute("aria-label", `${short(hex)}, copy`);
  return button;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button || !navigator.clipboard) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1200);
});

/** A token's scale: `decimals` of one token, `unitWei` base units in one unit. */
export class Scale {
  constructor(decimals, unitWei, symbol) {
    Object.assign(this, { decimals, unitWei: BigInt(unitWei), symbol });
  }

  /** An amount of units in tokens, exactly. */
  show(units) {
    return this.showWei(BigInt(units) * this.unitWei);
  }

  /** An amount of base units in tokens, exactly. */
  showWei(wei) {
    const one = 10n ** BigInt(this.decimals);
    const sign = wei < 0n ? "-" : "";
    const size = wei < 0n ? -wei : wei;
    const digits = (size % one).toString().padStart(this.decimals, "0").replace(/0+$/, "");
    const whole = (size / one).toString().replace(/\B(?=(\d{3})+$)/g, "\u2009");
    return `${sign}${whole}${digits && "." + digits}\u00a0${this.symbol}`;
  }

  /** Units of an amount as people write it. Throws instead of rounding. */
  parse(text) {
    const match = /^\s*(\d+)(?:[.,](\d+))?\s*$/.exec(text);
    if (!match) throw new Error(`“${text}” is no amount of tokens. Write digits with at most one point, like 1.5`);
    const fraction = (match[2] ?? "").replace(/0+$/, "");
    if (fraction.length > this.decimals) throw new Error(`“${text}” has more than the token's ${this.decimals} decimals`);
    const wei = BigInt(match[1] + fraction.padEnd(this.decimals, "0"));
    if (wei % this.unitWei) throw new Error(`“${text}” is finer than the escrow counts. Leave out the last digits`);
    if (wei === 0n) throw new Error("Zero is too little. Write how many tokens, like 1.5");
    return wei / this.unitWei;
  }
}

/** Seconds as "2 d 3 h", "4 min 5 s". */
export function duration(seconds) {
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const found = [];
  for (const [name, size] of parts) {
    if (seconds >= size && found.length < 2) found.push(`${Math.floor(seconds / size)} ${name}`);
    seconds %= size;
  }
  return found.join(" ") || "0 s";
}

const SHORTLY = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
export const clock = (seconds) => new Date(seconds * 1000).toLocaleString([], SHORTLY);
export const plural = (count, noun) => `${count} ${noun}${Number(count) === 1 ? "" : "s"}`;

/** Runs `look` now, every `ms` while the page is visible, and when it becomes so again; never two at a time. */
export function repeatedly(look, ms) {
  let looking = null;
  const again = () => {
    if (!document.hidden) looking ??= look().finally(() => (looking = null));
  };
  again();
  setInterval(again, ms);
  for (const event of ["online", "visibilitychange"]) window.addEventListener(event, again);
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
