// Taking money back: notice, the wait, the withdrawal. All on the contract's own clock.

import { $, clock, duration, setText, show } from "../shared/page.js";
import { amountIn, doing } from "./actions.js";

export function withdrawPanel(desk) {
  const { chain, network, scale } = desk;
  const { notice_s, notice_life_s } = network.constants;
  let lane = { noticeAt: 0, balance: 0n };
  let chainAheadMs = 0;

  const now = () => Math.floor((Date.now() + chainAheadMs) / 1000);

  function act(button, transaction, done) {
    button.onclick = () =>
      doing(button, $("notice-say"), async (say) => {
        await transaction(say);
        await desk.refresh();
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
      await desk.refresh();
      return `${scale.show(units)} are back in your wallet.`;
    });
  };

  function tick() {
    const ripeAt = lane.noticeAt + notice_s;
    const lapsesAt = ripeAt + notice_life_s;
    const given = lane.noticeAt > 0 && now() < lapsesAt;
    const ripe = given && now() >= ripeAt;
    show($("give-notice"), !given);
    show($("cancel-notice"), given);
    show($("withdraw-form"), ripe);
    show($("countdown"), given && !ripe);
    setText($("countdown"), given && !ripe ? duration(ripeAt - now()) : "");
    setText($("notice-state"), describe(given, ripe, ripeAt, lapsesAt));
  }

  function describe(given, ripe, ripeAt, lapsesAt) {
    if (ripe) return `Your notice is ripe. Withdraw until ${clock(lapsesAt)}; then it lapses.`;
    if (given) return `Notice given. You can withdraw from ${clock(ripeAt)} on, whoever else is gone by then.`;
    return (
      `To take money out of your lane, give notice and wait ${duration(notice_s)}: longer than the longest job and its ` +
      "check, so that what was ordered can still be settled. No order is taken meanwhile."
    );
  }

  const timer = setInterval(tick, 1000);
  return {
    close: () => clearInterval(timer),
    async refresh() {
      const [read, time] = await Promise.all([chain.lane(), chain.time()]);
      lane = read;
      // A chain that mines on demand lags behind; one whose clock is ahead decides.
      chainAheadMs = Math.max(0, time * 1000 - Date.now());
      tick();
    },
  };
}
