// Keeps the page of a comparison up to date while it goes on; a reload does the same. Lines that
// somebody has ticked are left as they are.
(() => {
  const replace = (page, id) => {
    const fresh = page.getElementById(id);
    const old = document.getElementById(id);
    if (fresh && old) old.replaceWith(fresh);
    return fresh;
  };

  const follow = async () => {
    const answer = await fetch(location.href);
    if (answer.ok && !answer.redirected) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = replace(page, "reconciliation-progress");
      if (fresh && !("goesOn" in fresh.dataset)) return location.reload();
    }
    setTimeout(follow, 2000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const goesOn = document.querySelector("#reconciliation-progress[data-goes-on]");
    if (goesOn) setTimeout(follow, 1000);
  });
})();
