/* The board: a line for each batch, a column for each step. Only the lines in sight are drawn, so
   that ten thousand are as quick as ten. Arrow keys go from cell to cell, Enter opens one. */
"use strict";
(function () {
  const { el, count, SIGNS, WORDS } = mirar;
  const HEIGHT = 26, SPARE = 8;

  mirar.boardPart = function (open, options = {}) {
    let night = null, shown = [], columns = [], at = { row: 0, column: 0 }, first = -1, last = -1;
    const drawn = new Map();
    const filter = el("input", { type: "search", id: "filter", placeholder: "name of a batch",
      autocomplete: "off", spellcheck: "false", oninput: () => refilter() });
    const which = el("select", { id: "which", onchange: () => refilter() },
      [["all", "all"], ["bad", "with failures"], ["busy", "under way"], ["open", "not finished"]]
        .map(([value, word]) => el("option", { value }, word)));
    const number = el("span", { class: "small", role: "status" });
    const header = el("div", { role: "row", class: "row heading", "aria-rowindex": "1" });
    const body = el("div", { role: "rowgroup", class: "body" });
    const grid = el("div", { role: "grid", class: "grid", "aria-labelledby": "h-board" },
      el("div", { role: "rowgroup", class: "top" }, header), body);
    const scroller = el("div", { class: "scroller" }, grid);
    const legend = el("p", { class: "legend" }, ["succeeded", "running", "waiting", "caveats", "failed",
      "blocked", "lost", "skipped", "cut"].map((kind) => mirar.mark(kind)), el("span", {}, "◆ a master was made"));
    const root = el("section", { class: "card wide", "aria-labelledby": "h-board" },
      el("h2", { id: "h-board" }, "Batches and steps"),
      el("p", { class: "tools" }, el("label", { for: "filter", class: "unseen" }, "Show batches named"),
        filter, el("label", { for: "which" }, "show "), which, number),
      scroller, legend);
    scroller.addEventListener("scroll", () => draw(false), { passive: true });
    if (window.ResizeObserver) new ResizeObserver(() => draw(true)).observe(scroller);
    window.addEventListener("beforeprint", () => { first = -1; draw(true, true); });
    grid.addEventListener("click", (event) => {
      const cell = event.target.closest("[data-step]");
      if (cell) { at = { row: +cell.dataset.at, column: +cell.dataset.column }; pick(cell); }
    });
    grid.addEventListener("keydown", keys);

    function refilter() {
      const words = filter.value.trim().toLowerCase();
      shown = night.rows.filter((row) => row && row.frames > 0 && row.used
        && (!words || row.name.toLowerCase().includes(words)) && wanted(row));
      grid.setAttribute("aria-rowcount", shown.length + 1);
      grid.setAttribute("aria-colcount", columns.length + 1);
      body.style.height = `${shown.length * HEIGHT}px`;
      const lines = night.rows.filter((row) => row && row.used).length;
      number.textContent = shown.length === lines
        ? mirar.plural(lines, "line") : `${count(shown.length)} of ${mirar.plural(lines, "line")}`;
      at.row = Math.max(0, Math.min(at.row, shown.length - 1));
      draw(true);
    }
    function wanted(row) {
      if (which.value === "all") return true;
      const kinds = columns.map((column) => night.status(night.cell(row.place, column.place)));
      if (which.value === "bad") return kinds.some((k) => k === "failed" || k === "blocked" || k === "lost");
      if (which.value === "busy") return kinds.includes("running");
      return ["running", "waiting", "cut"].some((kind) => kinds.includes(kind));
    }

    function draw(anew, all) {
      if (!night || !columns.length) return;
      const height = scroller.clientHeight || 400, top = scroller.scrollTop;
      let from = Math.max(0, Math.floor(top / HEIGHT) - SPARE);
      let to = Math.min(shown.length, Math.ceil((top + height) / HEIGHT) + SPARE);
      if (all || options.all) { from = 0; to = Math.min(shown.length, 400); }
      if (!anew && from >= first && to <= last) return;
      const focused = body.contains(document.activeElement);
      first = from; last = to;
      const wanted = new Map();
      for (let n = from; n < to; n += 1) wanted.set(n, key(n));
      // What has not changed stays: whoever reads or selects it is not disturbed every second.
      for (const [n, made] of drawn) {
        if (wanted.get(n) === made.dataset.key) continue;
        made.remove();
        drawn.delete(n);
      }
      for (const [n, text] of wanted) {
        if (drawn.has(n)) continue;
        const made = line(n);
        made.dataset.key = text;
        drawn.set(n, made);
        let after = n + 1;
        while (after < to && !drawn.get(after)?.isConnected) after += 1;
        body.insertBefore(made, after < to ? drawn.get(after) : null);
      }
      // One cell is in the order of Tab: the one that was at last, else the first in sight.
      const tabbed = target() || body.querySelector("[data-step]");
      body.querySelectorAll('[tabindex="0"]').forEach((one) => { one.tabIndex = one === tabbed ? 0 : -1; });
      if (tabbed) tabbed.tabIndex = 0;
      if (focused) target()?.focus({ preventScroll: true });
    }
    /* What a line shows, in short. */
    function key(n) {
      const row = shown[n];
      return JSON.stringify([row, columns.map((column) => {
        const cell = night.cell(row.place, column.place);
        return cell && [night.status(cell), cell.done, cell.expected, cell.failed, cell.blocked, cell.lost, cell.running];
      })]);
    }
    function line(n) {
      const row = shown[n];
      const made = el("div", { role: "row", class: `row ${row.kind}`, "aria-rowindex": n + 2 },
        el("div", { role: "rowheader", class: "name", title: row.master || row.name },
          el("span", { class: "words" }, row.name), el("span", { class: "of" }, " ", count(row.frames))),
        columns.map((column, place) => cell(row, column, n, place)));
      made.style.top = `${n * HEIGHT}px`;
      return made;
    }
    function cell(row, column, n, place) {
      const found = night.cell(row.place, column.place), kind = night.status(found);
      const made = el("div", { role: "gridcell", class: `cell s-${kind}`, "aria-colindex": place + 2 });
      if (kind === "none") return made;
      made.dataset.step = column.place;
      made.dataset.at = n;
      made.dataset.column = place;
      made.tabIndex = n === at.row && place === at.column ? 0 : -1;
      const done = found.done + found.skipped, bad = found.failed + found.blocked + found.lost;
      if (kind === "running" || kind === "cut" || bad) {
        const bar = el("i", { "aria-hidden": "true" });
        bar.style.width = `${Math.min(100, (100 * done) / Math.max(1, found.expected))}%`;
        made.append(bar);
      }
      const master = row.masterStep === column.place;
      const figure = kind === "left" ? "" : bad ? `${count(bad)}${done ? ` · ${count(done)}` : ""}`
        : kind === "running" || kind === "cut" ? `${count(done)}/${count(found.expected)}`
          : kind === "waiting" ? count(found.expected) : kind === "aside" ? count(found.aside) : count(done);
      mirar.put(made, [el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[kind]),
        el("span", { "aria-hidden": "true" }, figure + (master && kind === "succeeded" ? " ◆" : "")),
        el("span", { class: "unseen" }, says(row, column, found, kind, master))]);
      return made;
    }
    function says(row, column, found, kind, master) {
      const words = [`${row.name}, ${column.name}: ${WORDS[kind]}`];
      if (master) words.push("master");
      for (const name of ["done", "running", "failed", "blocked", "lost", "skipped", "caveats"]) {
        if (found[name]) words.push(`${found[name]} ${name}`);
      }
      return `${words.join(", ")} of ${found.expected}`;
    }

    function target() { return body.querySelector(`[data-at="${at.row}"][data-column="${at.column}"]`); }
    function pick(made) {
      open({ row: shown[+made.dataset.at].place, step: +made.dataset.step });
    }
    function keys(event) {
      const page = Math.max(1, Math.floor(scroller.clientHeight / HEIGHT) - 2);
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
        PageUp: [-page, 0], PageDown: [page, 0] }[event.key];
      const here = event.target.closest("[data-step]");
      if (here && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); pick(here); return; }
      if (move) go(move[0], move[1]);
      else if (event.key === "Home") go(event.ctrlKey ? -shown.length : 0, -columns.length);
      else if (event.key === "End") go(event.ctrlKey ? shown.length : 0, columns.length);
      else return;
      event.preventDefault();
    }
    function go(down, right) {
      const clamp = (n, most) => Math.max(0, Math.min(most, n));
      const row = clamp(at.row + down, shown.length - 1), to = clamp(at.column + right, columns.length - 1);
      const step = right ? Math.sign(right) : 1;
      for (let n = 0, column = to; n < columns.length; n += 1, column += step) {
        if (column < 0 || column >= columns.length) break;
        if (night.cell(shown[row].place, columns[column].place)) { focus(row, column); return; }
      }
      for (let column = to; column >= 0; column -= 1) {  // a master's line ends before a batch's
        if (night.cell(shown[row].place, columns[column].place)) { focus(row, column); return; }
      }
    }
    function focus(row, column) {
      body.querySelectorAll('[tabindex="0"]').forEach((one) => { one.tabIndex = -1; });
      at = { row, column };
      const top = row * HEIGHT, height = scroller.clientHeight - 2 * HEIGHT;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (top > scroller.scrollTop + height) scroller.scrollTop = top - height;
      draw(false);
      const made = target();
      if (made) { made.tabIndex = 0; made.focus(); made.scrollIntoView({ block: "nearest", inline: "nearest" }); }
    }

    return {
      root,
      update(now) {
        night = now;
        const names = columns.map((column) => column.place).join();
        columns = night.columns();
        if (names !== columns.map((column) => column.place).join()) {
          header.replaceChildren(el("div", { role: "columnheader", class: "name" }, "batch"),
            ...columns.map((column) => el("div", { role: "columnheader", class: "step", title: column.description || null },
              column.name)));
          grid.style.setProperty("--columns", columns.length);
          drawn.clear();
          body.replaceChildren();
        }
        scroller.hidden = !columns.length;
        if (night.changed.rows || night.changed.cells) refilter();
      },
      focusCell(place, step) {
        const row = shown.findIndex((one) => one.place === place);
        const column = columns.findIndex((one) => one.place === step);
        if (row >= 0 && column >= 0) focus(row, column);
      },
    };
  };
})();
