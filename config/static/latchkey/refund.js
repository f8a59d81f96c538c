// Keeps a refund's preview and its steps up to date. Without it the Preview button and a reload
// do the same.
(() => {
  const replace = (id, text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(id);
    const old = document.getElementById(id);
    if (fresh && old) old.replaceWith(fresh);
    return fresh;
  };

  const followForm = (form) => {
    let waiting, latest = 0;
    const look = async () => {
      const mine = ++latest;
      const asked = new FormData(form);
      asked.set("act", "preview");
      const answer = await fetch(location.href, { method: "POST", body: asked });
      if (!answer.ok || answer.redirected) return;
      const text = await answer.text();
      if (mine === latest) replace("refund-preview", text);
    };
    form.addEventListener("input", (event) => {
      if (["reason", "ticket"].includes(event.target.name)) return;
      clearTimeout(waiting);
      waiting = setTimeout(look, 250);
    });
    // Typed before this file ran.
    const isChanged = (field) => "defaultValue" in field && field.value !== field.defaultValue;
    if ([...form.elements].some(isChanged)) look();
  };

  const followSteps = async () => {
    const answer = await fetch(location.href);
    if (answer.ok && !answer.redirected) {
      const fresh = replace("refund-steps", await answer.text());
      if (fresh && !("goesOn" in fresh.dataset)) return location.reload();
    }
    setTimeout(followSteps, 2000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.getElementById("refund-form");
    if (form) followForm(form);
    if (document.querySelector("#refund-steps[data-goes-on]")) setTimeout(followSteps, 1000);
  });
})();
