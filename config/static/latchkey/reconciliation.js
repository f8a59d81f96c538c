// Keeps the page of a comparison up to date while it goes on; a reload does the same. Lines that
// somebody has ticked are left as they are.
(() => {
  const follow = async () => {
    const answer = await fetch(location.href);
    if (answer.ok && !answer.redirected) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("reconciliation-progress");
      if (!fresh || !("goesOn" in fresh.dataset)) return location.reload();
      document.getElementById("reconciliation-progress").replaceWith(fresh);
    }
    setTimeout(follow, 2000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const goesOn = document.querySelector("#reconciliation-progress[data-goes-on]");
    if (goesOn) setTimeout(follow, 1000);
  });
})();
