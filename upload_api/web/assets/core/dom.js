// Elements, made and found.
const SVG = "http://www.w3.org/2000/svg";

/** An element of `tag`. `on…` are listeners, `vars` custom properties of its style, `data` its dataset; what is null,
 * undefined or false is left out. */
export function make(tag, properties = {}, ...children) {
  return dress(document.createElement(tag), properties, children);
}

/** The same for a picture's elements. */
export function draw(tag, properties = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), properties, children);
}

function dress(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "vars") for (const [key, said] of Object.entries(value)) element.style.setProperty(key, said);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && element.namespaceURI !== SVG && !name.startsWith("aria-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

/** Put `children` in place of what is in `element`. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
  return element;
}

/** `act` at most once in `pause` milliseconds, and a last time when calls have ended. */
export function seldom(act, pause) {
  let timer = null;
  let again = false;
  return () => {
    if (timer !== null) {
      again = true;
      return;
    }
    act();
    timer = setTimeout(function over() {
      timer = null;
      if (again) {
        again = false;
        act();
        timer = setTimeout(over, pause);
      }
    }, pause);
  };
}
