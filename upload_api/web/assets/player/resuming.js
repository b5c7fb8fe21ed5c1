// A film that is loaded anew goes on at the same moment: nothing of its beginning is shown meanwhile.

const SIGNS = ["loadeddata", "seeked", "canplay"];
const NEAR_S = 0.5;

/** Seeks to `position` before the first picture is decoded; plays, unless `paused`, and calls `lift` once a picture of that
 *  moment is there. To be called before the new film has any data. `goTo` of what comes back is for who seeks meanwhile. */
export function resumeAt(element, position, { paused, lift }) {
  let wanted = position;
  element.addEventListener("loadedmetadata", () => {
    if (wanted > 0) element.currentTime = wanted;
  }, { once: true });
  const there = () => {
    if (element.readyState < 2 || element.seeking || element.currentTime < wanted - NEAR_S) return;
    for (const sign of SIGNS) element.removeEventListener(sign, there);
    lift();
    if (!paused) element.play().catch(() => {});
  };
  for (const sign of SIGNS) element.addEventListener(sign, there);
  return { goTo: (to) => (wanted = to) };
}
