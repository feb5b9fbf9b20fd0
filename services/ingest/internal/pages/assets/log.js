"use strict";
// A log of any length: only the rows that are seen are in the page, and only the pages around them in memory.
class Log {
  constructor(id, parts) {
    this.url = `/api/v2/builds/${encodeURIComponent(id)}/logs`;
    Object.assign(this, parts); // view, sheet, rows, onTotal, onFollow
    this.total = 0;
    this.pages = new Map(); // number of a page -> its lines, the last used at the end
    this.asked = new Set();
    this.followed = true;
    this.marked = 0;
    this.hits = new Set();
    this.view.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.view);
    this.rowHeight = this.measure();
  }

  static page = 500;
  static keep = 80; // pages
  static tallest = 8e6; // pixels that every browser lays out; a longer log is mapped onto them

  measure() {
    const row = this.row(1, { text: "x", level: "info" });
    this.rows.replaceChildren(row);
    const height = row.getBoundingClientRect().height || 20;
    this.rows.replaceChildren();
    return height;
  }

  put(line) {
    const n = Math.floor((line.line - 1) / Log.page);
    let page = this.pages.get(n);
    if (!page) { page = []; this.pages.set(n, page); this.evict(n); }
    page[(line.line - 1) % Log.page] = line;
    if (line.line > this.total) { this.total = line.line; this.onTotal(this.total); }
    this.draw();
  }

  evict(newest) {
    for (const n of this.pages.keys()) {
      if (this.pages.size <= Log.keep) return;
      if (n !== newest) this.pages.delete(n);
    }
  }

  line(number) {
    const n = Math.floor((number - 1) / Log.page);
    const found = this.pages.get(n)?.[(number - 1) % Log.page];
    if (!found) this.fetchPage(n);
    return found;
  }

  async fetchPage(n) {
    if (this.asked.has(n)) return;
    this.asked.add(n);
    try {
      const answer = await fetch(`${this.url}?from=${n * Log.page + 1}&limit=${Log.page}`);
      if (!answer.ok) throw new Error(answer.statusText);
      const page = this.pages.get(n) || [];
      for (const l of await answer.json()) page[(l.line - 1) % Log.page] = l;
      this.pages.delete(n);
      this.pages.set(n, page);
      this.evict(n);
      this.draw();
      setTimeout(() => this.asked.delete(n), 1000); // a line that is not there is not asked for again and again
    } catch {
      setTimeout(() => { this.asked.delete(n); this.draw(); }, 2000);
    }
  }

  get height() { return this.total * this.rowHeight; }
  get scaled() { return this.height > Log.tallest; }
  get visible() { return Math.ceil(this.view.clientHeight / this.rowHeight); }

  // top is the number of the first row that is seen.
  get top() {
    const y = this.view.scrollTop;
    if (!this.scaled) return Math.floor(y / this.rowHeight) + 1;
    const room = Log.tallest - this.view.clientHeight;
    return Math.floor((y / room) * Math.max(this.total - this.visible + 1, 0)) + 1;
  }

  scrollTo(number) {
    const wanted = Math.max(Math.min(number, this.total), 1);
    if (!this.scaled) this.view.scrollTop = (wanted - 1) * this.rowHeight;
    else this.view.scrollTop = ((wanted - 1) / Math.max(this.total - this.visible + 1, 1)) * (Log.tallest - this.view.clientHeight);
    this.draw();
  }

  toEnd() { this.view.scrollTop = this.view.scrollHeight; }

  scrolled() {
    const atEnd = this.view.scrollTop + this.view.clientHeight >= this.view.scrollHeight - 2 * this.rowHeight;
    if (!this.drawing && atEnd !== this.followed && !this.pinned) { this.followed = atEnd; this.onFollow(atEnd); }
    this.draw();
  }

  follow(on) { this.followed = on; if (on) { this.pinned = false; this.draw(); } }

  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.drawing = true; this.paint(); this.drawing = false; });
  }

  paint() {
    this.sheet.style.height = `${Math.min(this.height, Log.tallest)}px`;
    if (this.followed) this.toEnd();
    const extra = 10;
    const top = this.top, first = Math.max(top - extra, 1), last = Math.min(top + this.visible + extra, this.total);
    this.show(first, last);
    const y = this.scaled ? this.view.scrollTop - (top - first) * this.rowHeight : (first - 1) * this.rowHeight;
    this.rows.style.transform = `translateY(${y}px)`;
  }

  // show brings the rows in the page up to date. Those that stay as they are are not touched: text in them may be selected.
  show(first, last) {
    const kept = new Map();
    for (const row of [...this.rows.children]) {
      if (row.number >= first && row.number <= last && row.line === this.line(row.number) && row.className === this.looks(row.number, row.line)) kept.set(row.number, row);
      else row.remove();
    }
    let next = this.rows.firstChild;
    for (let n = first; n <= last; n++) {
      if (kept.has(n)) next = next.nextSibling;
      else this.rows.insertBefore(this.row(n, this.line(n)), next);
    }
  }

  looks(number, line) {
    return "row" + (line ? " l-" + line.level : " absent") + (number === this.marked ? " marked" : "") + (this.hits?.has(number) ? " hit" : "");
  }

  row(number, line) {
    const row = document.createElement("div");
    Object.assign(row, { number, line, className: this.looks(number, line) });
    const at = document.createElement("a");
    at.href = "#L" + number;
    at.className = "no";
    at.textContent = number;
    const text = document.createElement("span");
    text.className = "text";
    if (line) {
      row.title = [line.at && new Date(line.at).toLocaleTimeString(), line.stage, line.attempt > 1 && `attempt ${line.attempt}`].filter(Boolean).join(" · ");
      ansi.render(text, line.text);
    } else text.textContent = "…";
    row.append(at, text);
    return row;
  }

  // mark shows a line in the middle of the view.
  mark(number) {
    this.marked = number;
    this.followed = false;
    this.pinned = true; // until the reader scrolls by hand
    this.onFollow(false);
    this.scrollTo(number - Math.floor(this.visible / 2));
    setTimeout(() => { this.pinned = false; }, 300);
  }

  // search gives the numbers of lines that have the words, at most a thousand.
  async search(words, signal) {
    const found = [];
    for (let from = 1; found.length < 1000;) {
      const answer = await fetch(`${this.url}?q=${encodeURIComponent(words)}&from=${from}&limit=1000`, { signal });
      if (!answer.ok) throw new Error(answer.statusText);
      for (const l of await answer.json()) found.push(l.line);
      const through = Number(answer.headers.get("Log-Searched-Through"));
      if (!(through >= from) || through >= this.total) break;
      from = through + 1;
    }
    this.hits = new Set(found);
    this.draw();
    return found;
  }
}
