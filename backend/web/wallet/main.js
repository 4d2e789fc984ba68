// The wallet page: connects a wallet and builds the panels connect, order, job, money and withdraw.

import { Unreachable, getJson } from "../shared/api.js";
import { $, repeatedly, setText, short, show, sleep } from "../shared/page.js";
import { Chain } from "./chain.js";
import { connectPanel } from "./connect.js";
import { historyPanel, jobPanel } from "./job.js";
import { moneyPanel } from "./money.js";
import { orderPanel } from "./order_form.js";
import { withdrawPanel } from "./withdraw.js";

const REFRESH_MS = 4000;

/** What the panels share. `chain` reads through the wallet; `refresh` reads everything again. */
const app = { network: null, wallet: null, chain: null, scale: null, refresh, openJob: () => {} };
let panels = [];
let refreshing = null;
let turns = 0;

async function start() {
  app.network = await retried(() => getJson("v1/network"));
  await connectPanel(app.network, onWallet);
}

/** Rebuilds or removes the panels, after a wallet was connected or changed its account or chain. */
async function onWallet(wallet) {
  const turn = ++turns;
  for (const panel of panels) panel.close?.();
  panels = [];
  const connected = Boolean(wallet?.account);
  const right = connected && wallet.chainId === app.network.chain_id;
  show($("connect"), !connected);
  show($("workspace"), right);
  show($("wrong-chain"), connected && !right);
  show($("who"), connected);
  if (!connected) return;
  setText($("account"), `${short(wallet.account)} on chain ${wallet.chainId}`);
  if (!right) {
    setText(
      $("wrong-text"),
      `Your wallet is on chain ${wallet.chainId}. This backend works on chain ${app.network.chain_id}; nothing can be ` +
        "read or signed until your wallet is there too.",
    );
    return;
  }
  app.wallet = wallet;
  app.chain = new Chain(wallet, app.network);
  app.scale = await app.chain.scale();
  const orders = await orderPanel(app);
  if (turn !== turns) return;
  const job = jobPanel(app);
  app.openJob = job.open;
  panels = [moneyPanel(app), withdrawPanel(app), orders, historyPanel(app), job];
  await refresh();
}

/** Refreshes every panel. Calls during a refresh share it. */
function refresh() {
  refreshing ??= Promise.all(panels.map((panel) => panel.refresh()))
    .then(() => show($("backend-alert"), false), tell)
    .finally(() => (refreshing = null));
  return refreshing;
}

function tell(error) {
  setText($("backend-alert"), error.message);
  show($("backend-alert"), true);
  if (!(error instanceof Unreachable)) console.error(error);
}

/** Tries until the backend answers, and shows that it does not. */
async function retried(ask) {
  for (;;) {
    try {
      const answer = await ask();
      show($("backend-alert"), false);
      return answer;
    } catch (error) {
      tell(error);
      await sleep(REFRESH_MS);
    }
  }
}

repeatedly(refresh, REFRESH_MS);
start().catch(tell);
