"use strict";
// Colours of a terminal become classes and styles. Whatever else a terminal would obey (cursor moves, titles, links, control
// characters) is dropped. Text is only ever set as text.
const ansi = (() => {
  // CSI … final, OSC and its like … BEL or ST, other escapes, lone controls.
  const escapes = /\x1b\[([0-9;:?<=>!]*)([\x20-\x2f]*[\x40-\x7e])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[\x20-\x2f]*[\x30-\x7e]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

  function fresh() { return { bold: false, dim: false, italic: false, underline: false, inverse: false, fg: "", bg: "" }; }

  function cube(n) {
    if (n < 16) return "a" + n;
    if (n >= 232) { const v = (n - 232) * 10 + 8; return `rgb(${v},${v},${v})`; }
    const level = (i) => (i ? i * 40 + 55 : 0);
    n -= 16;
    return `rgb(${level(Math.floor(n / 36))},${level(Math.floor(n / 6) % 6)},${level(n % 6)})`;
  }

  // colour reads 38;5;n and 38;2;r;g;b, and says how many numbers it took.
  function colour(codes, i) {
    if (codes[i + 1] === 5 && codes[i + 2] >= 0 && codes[i + 2] < 256) return [cube(codes[i + 2]), 2];
    const [r, g, b] = codes.slice(i + 2, i + 5);
    if (codes[i + 1] === 2 && [r, g, b].every((v) => v >= 0 && v < 256)) return [`rgb(${r},${g},${b})`, 4];
    return ["", codes.length];
  }

  function apply(s, text) {
    const codes = text === "" ? [0] : text.split(/[;:]/).map(Number);
    for (let i = 0; i < codes.length; i++) {
      const c = codes[i];
      if (c === 0) Object.assign(s, fresh());
      else if (c === 1) s.bold = true;
      else if (c === 2) s.dim = true;
      else if (c === 3) s.italic = true;
      else if (c === 4) s.underline = true;
      else if (c === 7) s.inverse = true;
      else if (c === 22) s.bold = s.dim = false;
      else if (c === 23) s.italic = false;
      else if (c === 24) s.underline = false;
      else if (c === 27) s.inverse = false;
      else if (c >= 30 && c <= 37) s.fg = "a" + (c - 30);
      else if (c >= 90 && c <= 97) s.fg = "a" + (c - 82);
      else if (c >= 40 && c <= 47) s.bg = "a" + (c - 40);
      else if (c >= 100 && c <= 107) s.bg = "a" + (c - 92);
      else if (c === 39) s.fg = "";
      else if (c === 49) s.bg = "";
      else if (c === 38 || c === 48) {
        const [value, took] = colour(codes, i);
        if (c === 38) s.fg = value; else s.bg = value;
        i += took;
      }
    }
  }

  function span(text, s) {
    const plain = !(s.bold || s.dim || s.italic || s.underline || s.inverse || s.fg || s.bg);
    if (plain) return document.createTextNode(text);
    const e = document.createElement("span");
    e.textContent = text;
    for (const name of ["bold", "dim", "italic", "underline", "inverse"]) if (s[name]) e.classList.add("t-" + name);
    if (s.fg.startsWith("a")) e.classList.add("f-" + s.fg); else if (s.fg) e.style.color = s.fg;
    if (s.bg.startsWith("a")) e.classList.add("b-" + s.bg); else if (s.bg) e.style.backgroundColor = s.bg;
    return e;
  }

  return {
    // render appends a line to an element.
    render(element, text) {
      const state = fresh();
      let last = 0;
      for (const m of text.matchAll(escapes)) {
        if (m.index > last) element.append(span(text.slice(last, m.index), state));
        last = m.index + m[0].length;
        if (m[2] === "m" && /^[0-9;:]*$/.test(m[1])) apply(state, m[1]);
      }
      if (last < text.length) element.append(span(text.slice(last), state));
    },
  };
})();
