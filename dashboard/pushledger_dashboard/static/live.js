"use strict";

// The server renders everything. When it tells that something has changed, the page is fetched again, and the parts
// marked data-live are swapped in. What is being typed into is left alone.
(() => {
  const events = document.body.dataset.events;
  const pulse = document.getElementById("pulse");
  if (!events || !pulse || !window.EventSource) return;

  const AT_MOST_EVERY = 2000; // milliseconds between two fetches
  const AT_LEAST_EVERY = 30000; // "3 minutes ago" grows old by itself
  const AGAIN_AFTER = 5000; // when the server has refused the stream
  let source = null;
  let fetchedAt = Date.now();
  let timer = 0;
  let busy = false;

  const say = (words, lost) => {
    pulse.hidden = false;
    pulse.classList.toggle("lost", lost);
    if (pulse.textContent !== words) pulse.textContent = words;
  };

  const isInUse = (part) =>
    (part.contains(document.activeElement) && document.activeElement !== document.body) ||
    [...part.querySelectorAll("input:not([type=hidden])")].some((field) => field.value !== field.defaultValue);

  const swap = (fresh) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next || next.innerHTML === part.dataset.shown || isInUse(part)) continue;
      const first = part.dataset.shown === undefined;
      part.dataset.shown = next.innerHTML;
      if (first && next.innerHTML === part.innerHTML) continue;
      part.replaceChildren(...next.childNodes);
    }
  };

  const refresh = async () => {
    timer = 0;
    if (document.hidden || busy) return;
    busy = true;
    fetchedAt = Date.now();
    try {
      const address = new URL(window.location.href);
      address.searchParams.delete("done"); // a notice is read once
      const answer = await fetch(address, { cache: "no-store", headers: { Accept: "text/html" } });
      if (answer.redirected) return window.location.reload(); // logged out meanwhile
      if (answer.ok) {
        swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
        say("Live", false);
      } else if (answer.status === 404) {
        say("It is not there any more", true);
      } else {
        say("The ledger does not answer; trying again", true);
      }
    } catch {
      say("No connection; trying again", true);
    } finally {
      busy = false;
    }
  };

  const soon = () => {
    if (!timer) timer = setTimeout(refresh, Math.max(0, fetchedAt + AT_MOST_EVERY - Date.now()));
  };

  const connect = () => {
    source = new EventSource(events);
    source.onopen = () => say("Live", false);
    source.onerror = () => {
      say("No connection; trying again", true);
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_AFTER);
    };
    for (const name of ["overview", "message", "gone"]) source.addEventListener(name, soon);
    source.addEventListener("away", () => say("The ledger does not answer; trying again", true));
  };

  connect();
  setInterval(() => Date.now() - fetchedAt >= AT_LEAST_EVERY && soon(), 1000);
  document.addEventListener("visibilitychange", () => document.hidden || soon());
})();
