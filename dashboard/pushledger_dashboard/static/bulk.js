"use strict";

// Goes on by itself where a page without scripts has a button for each step. Counting (which changes nothing) begins at
// once; doing begins only when a person has pressed the button on this very page.
(() => {
  const place = () => document.getElementById("bulk");
  let stopped = false;

  const show = async (answer) => {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("bulk");
    if (answer.ok && next) {
      place().replaceChildren(...next.childNodes);
      return true;
    }
    const alert = document.createElement("p");
    alert.className = "alert";
    alert.setAttribute("role", "alert");
    alert.textContent = `It stopped here: the server answered ${answer.status}. Go on when that is over.`;
    place().append(alert);
    return false;
  };

  const ask = async (address, options) => {
    try {
      return await show(await fetch(address, { ...options, headers: { Accept: "text/html" } }));
    } catch {
      const alert = document.createElement("p");
      alert.className = "alert";
      alert.setAttribute("role", "alert");
      alert.textContent = "It stopped here: no connection. Repeating a step does no harm.";
      place().append(alert);
      return false;
    }
  };

  const count = async () => {
    for (;;) {
      const link = place().querySelector("a[data-next]");
      const typing = place().contains(document.activeElement) && document.activeElement.matches("input");
      if (!link || stopped || typing) return;
      if (!(await ask(link.href, {}))) return;
    }
  };

  const run = async (form) => {
    stopped = false;
    while (form && !stopped) {
      const body = new URLSearchParams(new FormData(form));
      if (!(await ask(form.getAttribute("action"), { method: "POST", body }))) return;
      form = place().querySelector("form[data-more]");
      const stop = form && form.querySelector("[data-stop]");
      if (!stop) return;
      stop.hidden = false;
      form.querySelector("button:not([data-stop])").hidden = true;
      place().querySelector("[data-stopped]").hidden = true;
      stop.focus();
    }
    if (form) {
      form.querySelector("[data-stop]").hidden = true;
      form.querySelector("button:not([data-stop])").hidden = false;
      place().querySelector("[data-stopped]").hidden = false;
    }
  };

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-run]");
    if (!form) return;
    event.preventDefault();
    stopped = true; // a count that is under way
    setTimeout(() => run(form), 0);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-stop]")) stopped = true;
  });
  count();
})();
