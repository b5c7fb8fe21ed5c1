// Pages that have nothing but something to say.
import { $ } from "./core/dom.js";
import { frame } from "./core/frame.js";
import { art } from "./core/icons.js";

$("art").replaceWith(art());
frame();
