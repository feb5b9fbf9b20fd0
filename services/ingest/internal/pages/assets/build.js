"use strict";
const element = (id) => document.getElementById(id);
const card = element("build"), id = card.dataset.id, api = `/api/v2/builds/${encodeURIComponent(id)}`;

let wanted = 0; // the line that the address names, until it is there
const log = new Log(id, {
  view: element("log"), sheet: element("sheet"), rows: element("rows"),
  onTotal: (n) => {
    element("count").textContent = `${n.toLocaleString()} ${n === 1 ? "line" : "lines"}`;
    if (wanted && n >= wanted) { log.mark(wanted); wanted = 0; }
  },
  onFollow: (on) => { element("follow").checked = on; },
});

// The last lines come first, then what is said live; older ones when they are looked at.
function stream(from) {
  const lines = new EventSource(`${api}/logs?from=${from}`);
  element("live").classList.toggle("gone", card.dataset.final === "true");
  lines.addEventListener("log", (e) => log.put(JSON.parse(e.data)));
  lines.addEventListener("end", (e) => {
    lines.close();
    show(JSON.parse(e.data));
    element("live").classList.add("gone");
  });
  lines.onerror = () => {
    element("live").textContent = "reconnecting…";
    if (lines.readyState === EventSource.CLOSED) again(() => stream(log.total ? log.total + 1 : -500));
  };
  lines.onopen = () => { element("live").textContent = "live"; };
}

function watch() {
  if (card.dataset.final === "true") return;
  const life = new EventSource(`${api}/events`);
  life.addEventListener("build", (e) => show(JSON.parse(e.data)));
  life.addEventListener("end", (e) => { life.close(); show(JSON.parse(e.data)); });
  life.onerror = () => { if (life.readyState === EventSource.CLOSED) again(watch); };
}

// again is for a stream that the server refused: by itself the browser asks only where the line broke. A session that has ended leads
// to the login, and back here.
function again(follow) {
  setTimeout(async () => {
    try {
      const answer = await fetch(api);
      if (answer.status === 401 || answer.status === 403) return location.reload();
    } catch { /* the server is away, and the next turn tells */ }
    follow();
  }, 2000 + 2000 * Math.random());
}

const final = (status) => ["completed", "failed", "cancelled"].includes(status);
const title = (word) => word.charAt(0).toUpperCase() + word.slice(1).replaceAll("_", " ");

// show brings the card up to date.
function show(b) {
  const status = element("status");
  status.className = "pill " + b.status;
  status.textContent = title(b.status);
  element("stage").textContent = b.stage || "–";
  element("worker").textContent = b.worker_name || "–";
  const took = element("took");
  took.dataset.from = b.started_at || "";
  took.dataset.to = b.finished_at || "";
  fault(b.error || "");
  element("download").classList.toggle("gone", b.status !== "completed");
  element("artifacts").classList.toggle("gone", !b.artifacts?.sha256);
  element("cancel")?.classList.toggle("gone", final(b.status));
  card.dataset.final = final(b.status);
  if (b.attempts) attempts(b.attempts);
  tick();
}

// fault shows why the build failed. A cause ends with the number of a line in its stage's output, which becomes a link into the log.
function fault(text) {
  const error = element("error"), cause = /^([\w-]+) (?:failed|was ended)[^]*\((output line (\d+))\)$/.exec(text);
  error.textContent = text;
  error.classList.toggle("gone", !text);
  if (!cause) return;
  const link = Object.assign(document.createElement("a"), { href: "#log", textContent: cause[2] });
  link.addEventListener("click", (e) => { e.preventDefault(); cite(cause[1], Number(cause[3])); });
  error.textContent = text.slice(0, text.lastIndexOf(cause[2]));
  error.append(link, ")");
}

// cite marks a line of a stage's output. It is counted from the last line that announces the stage.
async function cite(stage, number) {
  try {
    const begins = await log.search(`▸ ${stage}:`);
    log.hits = new Set();
    if (begins.length) log.mark(begins[begins.length - 1] + number);
  } catch { /* the log is not there; the text says it all */ }
}

function attempts(list) {
  element("attempts").textContent = list.length;
  element("attempt-rows").replaceChildren(...list.map((a) => {
    const row = document.createElement("tr");
    for (const text of [a.number, a.worker_name, title(a.outcome), new Date(a.claimed_at).toLocaleString(), a.error || ""]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}

function tick() {
  const took = element("took"), from = Date.parse(took.dataset.from), to = Date.parse(took.dataset.to) || Date.now();
  if (!from) return;
  const s = Math.max(Math.round((to - from) / 1000), 0);
  took.textContent = [[Math.floor(s / 3600), "h"], [Math.floor(s / 60) % 60, "m"], [s % 60, "s"]].filter(([n, u]) => n || u === "s").map(([n, u]) => n + u).join(" ");
}

function times() {
  for (const t of document.querySelectorAll("time[datetime]")) {
    const at = new Date(t.dateTime);
    if (!isNaN(at)) t.textContent = "date" in t.dataset ? at.toLocaleDateString() : at.toLocaleString();
  }
}

// Links to lines.
function jump() {
  const m = /^#L(\d+)$/.exec(location.hash);
  wanted = m ? Number(m[1]) : 0;
  if (wanted && log.total >= wanted) { log.mark(wanted); wanted = 0; }
}

// Search: the newest words win, and Enter goes on to the next match.
let searching, hits = [], at = -1;
async function search() {
  searching?.abort();
  searching = new AbortController();
  const words = element("q").value.trim();
  hits = []; at = -1;
  if (words) {
    element("hits").textContent = "…";
    try { hits = await log.search(words, searching.signal); } catch (e) {
      if (e.name !== "AbortError") element("hits").textContent = "search failed, try again";
      return;
    }
  } else { log.hits = new Set(); log.draw(); }
  element("previous").disabled = element("next").disabled = hits.length === 0;
  element("hits").textContent = words && hits.length === 0 ? "no matches" : "";
  if (hits.length) go(1);
}

function go(step) {
  at = (at + step + hits.length) % hits.length;
  element("hits").textContent = `${at + 1} of ${hits.length}${hits.length >= 1000 ? "+" : ""}`;
  log.mark(hits[at]);
}

let pause;
element("q").addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(search, 250); });
element("search").addEventListener("submit", (e) => { e.preventDefault(); if (hits.length) go(1); else search(); });
element("next").addEventListener("click", () => go(1));
element("previous").addEventListener("click", () => go(-1));
element("follow").addEventListener("change", (e) => log.follow(e.target.checked));
element("cancel")?.addEventListener("submit", (e) => { if (!confirm("Cancel this build?")) e.preventDefault(); });
addEventListener("hashchange", jump);
setInterval(() => { if (card.dataset.final !== "true") tick(); }, 1000);
times();
tick();
fault(element("error").textContent);
stream(-500);
watch();
jump();
