// Trading a key for a session.
import { api } from "./core/api.js";
import { $ } from "./core/dom.js";
import { frame } from "./core/frame.js";
import { art } from "./core/icons.js";
import { say } from "./core/text.js";

/** Where to go on: a place of ours, never an address that somebody else put into the link. */
function next() {
  const wanted = new URLSearchParams(window.location.search).get("next") ?? "/";
  const url = new URL(wanted, window.location.origin);
  return wanted.startsWith("/") && url.origin === window.location.origin ? url.pathname + url.search : "/";
}

$("art").replaceWith(art());
frame();

$("sign").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("sign-send").disabled = true;
  $("sign-problem").hidden = true;
  try {
    await api.signIn($("key").value.trim());
    window.location.assign(next());
  } catch (problem) {
    $("sign-problem").textContent = problem.status === 0 ? say("trouble.network") : problem.message;
    $("sign-problem").hidden = false;
    $("key").focus();
  }
  $("sign-send").disabled = false;
});

// On a server that asks for no key there is nothing to sign in to.
api.session().then((who) => !who.needs_key && window.location.assign(next())).catch(() => {});
