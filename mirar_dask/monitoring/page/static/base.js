/* What all parts of the page use: elements made of text only, figures for people, the words and
   signs of what became of something, and `Night`, which puts the server's answers together. */
"use strict";
(function () {
  const mirar = (window.mirar = window.mirar || {});

  /* Nothing from a header, a file name or an error is ever taken for markup: text is set as text. */
  mirar.el = function (tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "class") made.className = value;
      else made.setAttribute(name, value === true ? "" : String(value));
    }
    mirar.put(made, children);
    return made;
  };
  mirar.put = function (parent, children) {
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
    return parent;
  };
  mirar.svg = function (tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    return mirar.put(made, children);
  };

  /* -- figures for people ------------------------------------------------------------------ */

  mirar.count = (n) =>
    n === null || n === undefined ? "?" : String(n).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  mirar.plural = (n, word) => `${mirar.count(n)} ${word}${n === 1 ? "" : "s"}`;
  mirar.seconds = function (s) {
    if (s === null || s === undefined || !isFinite(s)) return "";
    if (s < 0.0995) return `${(1000 * s).toPrecision(s < 0.00995 ? 1 : 2)} ms`;
    if (s < 9.95) return `${s.toPrecision(2)} s`;
    if (s < 90) return `${Math.round(s)} s`;
    const minutes = Math.floor(s / 60);
    if (minutes < 60) return `${minutes} min ${String(Math.floor(s % 60)).padStart(2, "0")} s`;
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  };
  mirar.bytes = function (n) {
    let unit = 0;
    while (n >= 999.5 && unit < 5) { n /= 1000; unit += 1; }
    return `${unit && n < 99.5 ? n.toPrecision(2) : Math.round(n)} ${"B kB MB GB TB PB".split(" ")[unit]}`;
  };
  mirar.rate = (r) => (r === null || r === undefined ? "" : `${r < 9.95 ? r.toPrecision(2) : Math.round(r)}/s`);
  mirar.clock = (t) => new Date(1000 * t).toISOString().slice(11, 19);
  mirar.moment = (t) => (t ? `${new Date(1000 * t).toISOString().slice(0, 19).replace("T", " ")} UTC` : "");

  /* -- what became of something: a colour that all can tell, a sign, and a word ----------------- */

  mirar.SIGNS = {
    waiting: "·", running: "▸", succeeded: "✓", caveats: "!", skipped: "↷", aside: "–",
    blocked: "⊘", failed: "✕", lost: "†", left: "", cut: "◌",
  };
  mirar.WORDS = {
    waiting: "waiting", running: "running", succeeded: "succeeded", caveats: "with caveats",
    skipped: "done before", aside: "set aside", blocked: "blocked", failed: "failed",
    lost: "lost with a worker", left: "not needed", cut: "not finished",
  };
  const KIND_OF = {
    "succeeded with caveats": "caveats", "set aside": "aside", "ended before": "left",
    unfinished: "waiting", done: "succeeded",
  };
  mirar.kind = (status) => (Object.hasOwn(KIND_OF, status) ? KIND_OF[status]
    : Object.hasOwn(mirar.SIGNS, status) ? status : "waiting");
  mirar.mark = (kind, ...words) =>
    mirar.el("span", { class: `mark s-${kind}` },
      mirar.el("span", { class: "sign", "aria-hidden": "true" }, mirar.SIGNS[kind]),
      words.length ? words : mirar.WORDS[kind]);

  /* -- the night, put together from the server's answers ------------------------------------- */

  mirar.Night = class {
    constructor() { this.clear(); }
    clear() {
      Object.assign(this, {
        rev: 0, epoch: "", head: {}, steps: [], rows: [], cells: new Map(), failures: [], labels: [],
        workers: [], tasks: [], open: [], samples: [], masters: [], names: null, caveats: [],
      });
    }
    take(answer) {
      if (answer.full) this.clear();
      for (const name of ["rev", "epoch", "head", "steps", "labels", "workers", "open"]) {
        if (answer[name] !== undefined) this[name] = answer[name];
      }
      if (answer.names) this.names = answer.names;
      if (answer.masters) this.masters = answer.masters;
      for (const [place, name, kind, frames, master, masterStep] of answer.rows) {
        this.rows[place] = { place, name, kind, frames, master, masterStep, used: this.rows[place]?.used };
      }
      for (const values of answer.cells) {
        const cell = {};
        this.names.cell.forEach((name, n) => { cell[name] = values[n]; });
        this.cells.set(`${cell.row}/${cell.step}`, cell);
        this.rows[cell.row].used = true;
      }
      for (const group of answer.failures) this.failures[group.id] = group;
      for (const task of answer.tasks) this.tasks.push(task);
      for (const sample of answer.samples) this.samples.push(sample);
      this.changed = {
        rows: answer.full || answer.rows.length > 0, cells: answer.full || answer.cells.length > 0,
        failures: answer.full || answer.failures.length > 0,
        tasks: answer.full || answer.tasks.length > 0, samples: answer.full || answer.samples.length > 0,
      };
    }
    cell(row, step) { return this.cells.get(`${row}/${step}`); }
    columns() { return this.steps.map((step, place) => ({ ...step, place })).filter((s) => s.board); }
    /* The worst that is true of a cell, and how far it is. */
    status(cell) {
      if (!cell) return "none";
      for (const kind of ["lost", "failed", "blocked"]) if (cell[kind]) return kind;
      const over = this.head.over, ended = this.head.state === "ended", done = cell.done + cell.skipped;
      if (cell.running && !ended) return over ? "cut" : "running";
      if (cell.caveats) return "caveats";
      if (done && (done >= cell.expected || ended)) return cell.done ? "succeeded" : "skipped";
      if (done) return over ? "cut" : "running";
      if (cell.aside) return "aside";
      return ended ? "left" : over ? "cut" : "waiting";
    }
    step(place) { return this.steps[place]; }
  };
})();
