// What every page has around it: is there a network, do news arrive, light or dark, who is signed in.
import { api } from "./api.js";
import { $, fill, make } from "./dom.js";
import { icon } from "./icons.js";
import { say } from "./text.js";

const THEMES = ["auto", "light", "dark"];
const PICTURES = { auto: "half", light: "sun", dark: "moon" };

function themes() {
  const button = $("theme");
  if (!button) return;
  const kept = () => localStorage.getItem("theme") ?? "auto";
  const show = () => {
    const theme = kept();
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    fill(button, icon(PICTURES[theme]));
    button.title = say(`theme.${theme}`);
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    localStorage.setItem("theme", THEMES[(THEMES.indexOf(kept()) + 1) % THEMES.length]);
    show();
  });
  show();
}

async function session() {
  const place = $("session");
  if (!place) return;
  const who = await api.session().catch(() => null);
  if (!who?.needs_key) return;
  const leave = async () => {
    await api.signOut().catch(() => {});
    window.location.assign("/signin");
  };
  fill(place, make("button", { class: "button plain slim", type: "button", onclick: leave }, icon("out"), say("session.out")));
}

/** Begin the frame. What comes back is to be told whether news arrive. */
export function frame() {
  themes();
  session();
  const [live, offline] = [$("live"), $("offline")];
  let connected = null;
  const tell = () => {
    if (offline) offline.hidden = navigator.onLine;
    if (connected === null || !live) return;
    const news = connected && navigator.onLine;
    live.classList.toggle("on", news);
    live.textContent = say(news ? "live.on" : "live.off");
  };
  window.addEventListener("online", tell);
  window.addEventListener("offline", tell);
  tell();
  return (isLive) => {
    connected = isLive;
    tell();
  };
}
