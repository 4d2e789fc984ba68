// Withdrawals: the notice, the wait and the withdrawal, by the contract's clock.

import { $, clock, duration, setText, show } from "../shared/page.js";
import { amountIn, doing } from "./actions.js";

export function withdrawPanel(app) {
  const { chain, network, scale } = app;
  const { notice_s, notice_life_s } = network.constants;
  let lane = { noticeAt: 0, balance: 0n };
  let chainAheadMs = 0;

  const now = () => Math.floor((Date.now() + chainAheadMs) / 1000);

  function act(button, transaction, done) {
    button.onclick = () =>
      doing(button, $("notice-say"), async (say) => {
        await transaction(say);
        await app.refresh();
        return done;
      });
  }

  act($("give-notice"), chain.giveNotice, "Notice given. Orders are refused from now on.");
  act($("cancel-notice"), chain.cancelNotice, "Notice cancelled. You can order again.");

  $("withdraw-all").onclick = () => {
    $("withdraw-amount").value = scale.show(lane.balance).split("\u00a0")[0].replaceAll("\u2009", "");
  };

  $("withdraw-form").onsubmit = (event) => {
    event.preventDefault();
    doing(event.submitter, $("notice-say"), async (say) => {
      const units = amountIn($("withdraw-amount"), scale);
      await chain.withdraw(units, say);
      $("withdraw-amount").value = "";
      await app.refresh();
      return `${scale.show(units)} are back in your wallet.`;
    });
  };

  function tick() {
    const matureAt = lane.noticeAt + notice_s;
    const lapsesAt = matureAt + notice_life_s;
    const given = lane.noticeAt > 0 && now() < lapsesAt;
    const mature = given && now() >= matureAt;
    show($("give-notice"), !given);
    show($("cancel-notice"), given);
    show($("withdraw-form"), mature);
    show($("countdown"), given && !mature);
    setText($("countdown"), given && !mature ? duration(matureAt - now()) : "");
    setText($("notice-state"), describe(given, mature, matureAt, lapsesAt));
  }

  function describe(given, mature, matureAt, lapsesAt) {
    if (mature) return `Your notice has matured. Withdraw until ${clock(lapsesAt)}; then it lapses.`;
    if (given) return `Notice given. You can withdraw from ${clock(matureAt)} on, even if this backend is gone by then.`;
    return (
      `To take money out of your lane, give notice and wait ${duration(notice_s)}: longer than the longest job and its ` +
      "check, so that open orders can still be settled. New orders are refused meanwhile."
    );
  }

  const timer = setInterval(tick, 1000);
  return {
    close: () => clearInterval(timer),
    async refresh() {
      const [read, time] = await Promise.all([chain.lane(), chain.time()]);
      lane = read;
      // The chain's clock counts only if it is ahead: a chain that mines on demand lags behind.
      chainAheadMs = Math.max(0, time * 1000 - Date.now());
      tick();
    },
  };
}
