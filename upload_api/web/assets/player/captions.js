// Captions stand above the controls while those are to be seen. Where the place that they are drawn in can be moved by style
// (player.css) that is all; elsewhere, as in Firefox, cues without a line of their own get one for that long.

const BY_STYLE = CSS.supports("selector(video::-webkit-media-text-track-container)");

/** `line`: what they are to stand above. */
export function liftCaptions(root, element, line) {
  if (BY_STYLE) return;
  const lifted = new Map(); // the cue, and what its place was
  const place = () => {
    const away = root.classList.contains("idle") && root.classList.contains("plays");
    const seen = !away || root.querySelector(".controls :focus-visible") !== null;
    const [stage, { top }] = [root.getBoundingClientRect(), line.getBoundingClientRect()];
    const share = (top - stage.top) / Math.max(1, stage.height);
    for (const track of element.textTracks) {
      for (const cue of track.mode === "showing" ? (track.activeCues ?? []) : []) {
        if (seen && !lifted.has(cue) && cue.line === "auto") {
          lifted.set(cue, { snapToLines: cue.snapToLines, line: cue.line, lineAlign: cue.lineAlign });
          Object.assign(cue, { snapToLines: false, line: Math.max(0, 100 * share), lineAlign: "end" });
        } else if (!seen && lifted.has(cue)) {
          Object.assign(cue, lifted.get(cue));
          lifted.delete(cue);
        }
      }
    }
  };
  new MutationObserver(place).observe(root, { attributes: true, attributeFilter: ["class"] });
  element.textTracks.addEventListener("addtrack", (event) => event.track.addEventListener("cuechange", place));
  element.textTracks.addEventListener("change", place);
}
