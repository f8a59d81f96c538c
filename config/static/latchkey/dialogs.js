// htmx binds a dialog 20 ms after it is seen, unless told otherwise: a form that is sent in between
// would go to the page behind it, and nothing would be done.
htmx.config.defaultSettleDelay = 0;
// An act may wait for Stripe, but not for ever.
htmx.config.timeout = 60000;

// htmx shows nothing of an answer that is an error, or that never comes: staff would not know
// whether what they pressed was done.
(() => {
  const LOOK = "Whether it was done is not known. Reload the page and look before you try again.";
  const REFUSED = {
    403: "Nothing was done: you may not do this, or this page is too old. Reload the page and try again.",
    404: "Nothing was done: it is not there any more. Reload the page.",
    429: "Nothing was done: too many requests came at once. Try again in a minute.",
  };

  const inDialog = (event) => event.detail.target && event.detail.target.closest("#modal-content");

  const tell = (place, words) => {
    forget(place);
    const line = document.createElement("p");
    line.className = "dialog-problem";
    line.setAttribute("role", "alert");
    line.textContent = words;
    const form = place.querySelector("#dialog-form");
    if (form) form.after(line);
    else place.replaceChildren(line);
  };

  const forget = (place) => place.querySelectorAll(".dialog-problem").forEach((one) => one.remove());

  const fail = (event, words) => {
    const place = inDialog(event);
    if (!place) return;
    if (event.detail.requestConfig.verb !== "get") return tell(place, words);
    place.replaceChildren(); // of another dialog, perhaps
    tell(place, "This cannot be opened at present, and nothing was done. Try again, or reload the page.");
    // What opens the dialog over the page waits for this.
    event.detail.elt.dispatchEvent(new CustomEvent("htmx:after-on-load"));
  };

  document.addEventListener("htmx:beforeRequest", (event) => {
    const place = inDialog(event);
    if (place) forget(place);
  });
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    const refused = REFUSED[status] || "Nothing was done. Reload the page and try again.";
    fail(event, `${status < 500 ? refused : `The server failed. ${LOOK}`} (${status})`);
  });
  document.addEventListener("htmx:sendError", (event) => fail(event, `No answer came. ${LOOK}`));
  document.addEventListener("htmx:timeout", (event) => fail(event, `No answer came in time. ${LOOK}`));
  // Somebody who has been logged out is led to the log-in page, which is no dialog.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    if (!inDialog(event) || xhr.status >= 400) return;
    if (xhr.response.includes('id="dialog')) return;
    event.detail.shouldSwap = false;
    fail({ detail: { ...event.detail, requestConfig } },
      "Nothing was done: the answer was another page. Reload the page, and log in if it asks you to.");
  });
})();
