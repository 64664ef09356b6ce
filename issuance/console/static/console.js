// What makes the console quicker; everything works without it.
"use strict";
(() => {
  const find = document.querySelector("[data-find]");

  // "/" goes to the search box, Escape leaves it and closes what is open.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && find && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      find.focus();
      find.select();
    }
    if (event.key === "Escape") {
      for (const open of document.querySelectorAll(".who[open]")) open.open = false;
      if (typing === find && find) find.blur();
    }
  });
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll(".who[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
  });

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });

  // What is live is fetched again, while somebody looks.
  const live = () => [...document.querySelectorAll("[data-live]")];
  const look = async () => {
    if (!document.hidden && live().length) {
      try {
        const answer = await fetch(location.href, { headers: { "X-Live": "1" } });
        if (answer.ok && !answer.redirected) {
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          const parts = fresh.querySelectorAll("main [data-live]");
          const known = document.querySelectorAll("main [data-live]");
          if (parts.length === known.length) known.forEach((part, at) => part.replaceWith(parts[at]));
          else location.reload();
        }
      } catch {
        // The next look tries again.
      }
    }
    if (live().length) setTimeout(look, 2000);
  };
  if (live().length) setTimeout(look, 2000);
})();
