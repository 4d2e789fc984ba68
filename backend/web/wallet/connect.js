// Chooses the wallet: a button for each one found, the last one without a prompt; and switches to the right network.

import { $, h, show } from "../shared/page.js";
import { doing } from "./actions.js";
import { Wallet, discover } from "./wallet.js";

const REMEMBERED = "assay.wallet";
const DISCOVERY_MS = 600;

/** Fills the list of wallets, and calls `onWallet` whenever one is connected or changes. */
export async function connectPanel(network, onWallet) {
  let current = null;

  async function use({ id, provider }, options) {
    const wallet = new Wallet(provider);
    if (!(await wallet.connect(options))) return;
    current = wallet;
    localStorage.setItem(REMEMBERED, id);
    const changed = async (accounts) => {
      if (current !== wallet) return;
      if (accounts) wallet.account = accounts[0]?.toLowerCase() ?? null;
      await wallet.readChain();
      await onWallet(wallet);
    };
    provider.on?.("accountsChanged", changed);
    provider.on?.("chainChanged", () => changed());
    await onWallet(wallet);
  }

  discover((found) => {
    const icon = found.icon?.startsWith("data:image/") ? [h("img", { src: found.icon, alt: "", width: 28, height: 28 })] : [];
    const button = h("button", { type: "button" }, ...icon, found.name);
    button.addEventListener("click", () => doing(button, $("connect-say"), () => use(found)));
    $("wallets").append(h("li", {}, button));
    show($("no-wallet"), false);
    if (localStorage.getItem(REMEMBERED) === found.id && !current) {
      doing(button, $("connect-say"), () => use(found, { silently: true }));
    }
  });
  setTimeout(() => show($("no-wallet"), $("wallets").childElementCount === 0), DISCOVERY_MS);

  $("change").addEventListener("click", async () => {
    current = null;
    localStorage.removeItem(REMEMBERED);
    await onWallet(null);
    $("wallets").querySelector("button").focus();
  });

  $("switch").addEventListener("click", () =>
    doing($("switch"), $("wrong-say"), async () => {
      await current.switchTo(network);
      await onWallet(current);
    }),
  );
}
