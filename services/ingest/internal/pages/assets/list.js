"use strict";
// Times in the reader's own zone, and the first page kept fresh while somebody looks at it.
function localTimes() {
  for (const t of document.querySelectorAll("time[datetime]")) {
    const at = new Date(t.dateTime);
    if (isNaN(at)) continue;
    t.title = at.toLocaleString();
    t.textContent = ago(at);
  }
}

function ago(at) {
  const seconds = Math.round((Date.now() - at) / 1000);
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  for (const [unit, n] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= n) return words.format(-Math.floor(seconds / n), unit);
  }
  return words.format(-Math.max(seconds, 0), "second");
}

// replace keeps the keyboard where it was.
function replace(fresh) {
  const at = document.activeElement?.closest("#builds a")?.getAttribute("href");
  document.getElementById("builds").replaceWith(fresh);
  if (at) fresh.querySelector(`a[href="${CSS.escape(at)}"]`)?.focus({ preventScroll: true });
}

async function refresh() {
  if (!document.hidden && !location.search.includes("before=")) {
    try {
      const answer = await fetch(location.href, { redirect: "error" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("builds");
        if (fresh) replace(fresh);
      }
    } catch { /* the server is away: what is shown stays, and the next turn tries again */ }
  }
  localTimes();
  setTimeout(refresh, 5000);
}

localTimes();
setTimeout(refresh, 5000);
