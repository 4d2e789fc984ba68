// Balances, read from the contracts through the wallet, and the deposit.

import { getJson } from "../shared/api.js";
import { $, setText } from "../shared/page.js";
import { amountIn, doing } from "./actions.js";
import { Plain } from "./wallet.js";

export function moneyPanel(app) {
  const { chain, scale, wallet } = app;

  $("deposit-form").onsubmit = (event) => {
    event.preventDefault();
    doing(event.submitter, $("deposit-say"), async (say) => {
      const units = amountIn($("deposit-amount"), scale);
      const held = await chain.held();
      if (held < units * scale.unitWei) {
        throw new Plain(`Your wallet holds ${scale.showWei(held)}; you asked to deposit ${scale.show(units)}. Deposit less.`);
      }
      await chain.deposit(units, say);
      $("deposit-amount").value = "";
      await app.refresh();
      return `${scale.show(units)} are in your lane.`;
    });
  };

  return {
    async refresh() {
      const [held, lane, seen] = await Promise.all([
        chain.held(),
        chain.lane(),
        getJson(`v1/lanes/${wallet.account}/${wallet.account}`),
      ]);
      setText($("held"), scale.showWei(held));
      setText($("balance"), scale.show(lane.balance));
      setText($("charged"), scale.show(lane.charged));
      setText($("open"), scale.show(seen.open_max));
      const free = lane.balance - BigInt(seen.open_max);
      setText($("free"), scale.show(free > 0n ? free : 0n));
    },
  };
}
