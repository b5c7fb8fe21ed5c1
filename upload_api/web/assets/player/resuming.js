// A film that is loaded anew goes on at the same moment: nothing of its beginning is shown meanwhile.

const SIGNS = ["loadeddata", "seeked", "canplay"];
const NEAR_S = 0.5;

/** Seeks to `position` before the first picture is decoded; plays, unless `paused`, and calls `lift` once a picture of that
 *  moment is there. To be called before the new film has any data. */
export function resumeAt(element, position, { paused, lift }) {
  element.addEventListener("loadedmetadata", () => {
    if (position > 0) element.currentTime = position;
  }, { once: true });
  const there = () => {
    if (element.readyState < 2 || element.seeking || element.currentTime < position - NEAR_S) return;
    for (const sign of SIGNS) element.removeEventListener(sign, there);
    lift();
    if (!paused) element.play().catch(() => {});
  };
  for (const sign of SIGNS) element.addEventListener(sign, there);
}
