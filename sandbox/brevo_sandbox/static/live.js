"use strict";

// The server renders everything; this only swaps in the newest rendering of the part that changes.
(() => {
  const live = document.getElementById("live");
  const pulse = document.getElementById("pulse");
  if (!live || !pulse) return;
  const EVERY_MS = 1000;
  let shown = live.innerHTML;

  const say = (words) => {
    if (pulse.textContent !== words) pulse.textContent = words;
  };

  const refresh = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(window.location.href, { cache: "no-store" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.getElementById("live");
        if (answer.ok && next && next.innerHTML !== shown) {
          const focused = document.activeElement && document.activeElement.getAttribute("href");
          const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;
          shown = next.innerHTML;
          live.replaceChildren(...next.childNodes);
          if (focused) {
            const same = [...live.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused);
            if (same) same.focus({ preventScroll: true });
          }
          if (atEnd && live.querySelector(".chat")) window.scrollTo(0, document.body.scrollHeight);
        }
        say(answer.ok ? "live" : "not reachable");
      } catch {
        say("not reachable");
      }
    }
    window.setTimeout(refresh, EVERY_MS);
  };

  say("live");
  window.setTimeout(refresh, EVERY_MS);
})();
