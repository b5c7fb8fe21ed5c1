// The player alone, for other people's pages.
import { $ } from "./core/dom.js";
import { keepShowing } from "./core/shown.js";
import { Player } from "./player/player.js";

const first = JSON.parse($("facts").textContent);
const player = new Player({ title: first.title, href: first.watch_url });
keepShowing((video) => player.show({ ...video, width: null }));
