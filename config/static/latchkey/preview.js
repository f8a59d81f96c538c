// Keeps what a form leads to up to date while it is filled in, and adds rows of lines. Without it
// the Preview button does the same.
(() => {
  const follow = (form) => {
    const id = form.dataset.preview;
    let latest = 0;
    const look = async () => {
      const mine = ++latest;
      const asked = new FormData(form);
      asked.set("act", "preview");
      const answer = await fetch(location.href, { method: "POST", body: asked });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(id);
      const old = document.getElementById(id);
      if (mine === latest && fresh && old) old.replaceWith(fresh);
    };
    form.addEventListener("change", (event) => {
      if (!["reason", "memo", "footer", "po_number"].includes(event.target.name)) look();
    });
  };

  const addLine = (event) => {
    const lines = event.target.closest("[data-lines]");
    const last = [...lines.querySelectorAll(".invoice-line")].pop();
    const fresh = last.cloneNode(true);
    for (const cell of fresh.querySelectorAll("input")) cell.value = "";
    last.after(fresh);
    fresh.querySelector("input").focus();
    event.preventDefault();
  };

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-preview]");
    if (form) follow(form);
    document.querySelector("[data-add-line]")?.addEventListener("click", addLine);
  });
})();
