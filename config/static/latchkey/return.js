// The return page works without this: it adds a button that copies, and makes a double click one.
for (const place of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(place.dataset.copy);
  const button = document.createElement("button");
  const said = document.createElement("span");
  button.type = "button";
  button.textContent = place.dataset.say || "Copy the key";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      said.textContent = place.dataset.said || "Copied.";
    } catch {
      getSelection().selectAllChildren(source);
      said.textContent = place.dataset.selected || "Selected: press Ctrl+C or ⌘C.";
    }
  });
  place.append(button, said);
}

// A second click would fetch the page that says "collected before" in place of the key.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
// Back from the cache of the browser: the form may be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-once]")) delete form.dataset.sent;
});
