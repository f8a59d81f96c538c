// Bars that are as they were stay untouched, so that a screen reader has nothing to announce.
const shown = new WeakMap();
document.addEventListener("htmx:beforeSwap", (event) => {
  const answer = event.detail.serverResponse;
  if (shown.get(event.detail.target) === answer) event.detail.shouldSwap = false;
  shown.set(event.detail.target, answer);
});
