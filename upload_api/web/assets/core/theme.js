// Before the first paint, so that nobody who chose dark is blinded: not a module, and so not deferred.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden, in a frame above all: then the system decides.
  }
})();
