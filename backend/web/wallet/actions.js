// Runs slow actions for buttons, and shows their progress and errors beside the button.

import { Refusal, Unreachable } from "../shared/api.js";
import { setText } from "../shared/page.js";
import { Plain } from "./wallet.js";

/** Runs `act(say)` for a button, one at a time. `place`: the live region for its messages. */
export async function doing(button, place, act) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  const say = (text, kind = "") => {
    place.className = `say ${kind}`;
    setText(place, text);
  };
  try {
    const done = await act(say);
    say(done ?? "", "done");
  } catch (error) {
    say(words(error), "error");
    if (!(error instanceof Plain || error instanceof Refusal || error instanceof Unreachable)) console.error(error);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

function words(error) {
  return error instanceof Refusal ? `The backend refused (${error.code}): ${error.message}` : error.message;
}

/** The units that a person wrote into a field. Throws Plain for a bad amount. */
export function amountIn(field, scale) {
  try {
    return scale.parse(field.value);
  } catch (error) {
    field.focus();
    throw new Plain(error.message, { cause: error });
  }
}
