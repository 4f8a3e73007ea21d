/* Puts the parts together: `mirar.mount` for the page and for a report, and `mirar.stillSource`,
   which answers from what a report holds where no server is. */
"use strict";
(function () {
  const { el } = mirar;

  /* The choice of light or dark; the system's until somebody chooses. */
  mirar.themeButton = function (changed) {
    const root = document.documentElement;
    const stored = () => { try { return localStorage.getItem("mirar-theme"); } catch { return null; } };
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches);
    if (stored()) root.dataset.theme = stored();
    const word = () => (dark() ? "light" : "dark");
    const button = el("button", { type: "button", class: "theme", onclick() {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("mirar-theme", root.dataset.theme); } catch { /* private */ }
      button.textContent = word();
      changed?.();
    } }, word());
    return button;
  };

  /* What is open, in the address behind '#'. */
  mirar.place = {
    read() {
      const found = {};
      for (const [name, value] of new URLSearchParams(location.hash.slice(1))) found[name] = value;
      return found;
    },
    write(values, replace) {
      const text = new URLSearchParams(Object.entries(values).filter(([, v]) => v !== undefined && v !== "")).toString();
      if (`#${text}` === (location.hash || "#")) return;
      if (replace) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
      else location.hash = text;
    },
  };

  /* Draw a night into an element.

     source: { cell(row, step), task(id), failure(id, start), frame(name) }, each a promise.
     options: parts, the names of those that are wanted; all: draw every line of the board. */
  mirar.mount = function (root, source, options = {}) {
    const night = new mirar.Night();
    const sheet = mirar.sheet(source, () => leave());
    const make = {
      head: () => mirar.headPart(), flow: () => mirar.flowPart(open),
      board: () => mirar.boardPart(open, options), failures: () => mirar.failuresPart(open),
      workers: () => mirar.workersPart(), resources: () => mirar.resourcesPart(),
      timeline: () => mirar.timelinePart(open),
    };
    const parts = {};
    for (const name of options.parts || Object.keys(make)) {
      parts[name] = make[name]();
      root.append(parts[name].root);
    }
    root.append(sheet.root);
    let before = null, opened = null;

    function open(what) {
      if (what.steps) { parts.failures?.only(what.steps); return; }
      opened = what;
      const row = what.row === undefined ? undefined : night.rows[what.row].name;
      const step = what.step === undefined ? undefined : night.steps[what.step].name;
      if (!sheet.root.open) before = document.activeElement;
      mirar.place.write({ run: mirar.place.read().run, batch: row, step, task: what.task, failure: what.failure, frame: what.frame });
    }
    function leave() {
      const { run } = mirar.place.read();
      mirar.place.write({ run });
      if (opened && opened.row !== undefined && parts.board) parts.board.focusCell(opened.row, opened.step);
      else if (before && before.isConnected) before.focus();
      opened = null;
    }
    function follow() {
      const at = mirar.place.read();
      if (!night.names) return;
      if (at.batch !== undefined && at.step !== undefined) {
        const row = night.rows.findIndex((one) => one && one.name === at.batch);
        const step = night.steps.findIndex((one) => one.name === at.step);
        opened = row >= 0 && step >= 0 ? { row, step } : null;
        sheet.show({ row, step }, night, open);
      } else if (at.task !== undefined) sheet.show({ task: Number(at.task) }, night, open);
      else if (at.failure !== undefined) sheet.show({ failure: Number(at.failure) }, night, open);
      else if (at.frame !== undefined) sheet.show({ frame: at.frame }, night, open);
      else sheet.hide();
    }
    window.addEventListener("hashchange", follow);
    let shown = false;
    return {
      night, parts, open,
      update(answer, live) {
        night.take(answer);
        for (const [name, part] of Object.entries(parts)) part.update(night, name === "workers" ? live : undefined);
        if (!shown) { shown = true; follow(); }
      },
      redraw() { parts.timeline?.redraw(); },
      forget() { shown = false; night.clear(); },
    };
  };

  mirar.stillSource = function (data) {
    const at = Object.fromEntries(data.names.task.map((name, n) => [name, n]));
    const ended = new Map(data.ended.map(([name, row, step, status]) => [name, { step, status }]));
    const all = (data.failed || []).flatMap((group) => group.failures.map((f) => ({ ...f, kind: group.kind })));
    const describe = (night, t) => ({ id: t[at.id], label: night.labels[t[at.label]],
      worker: t[at.worker] >= 0 ? night.workers[t[at.worker]][0] : "", state: t[at.lost] ? "lost" : "done",
      start: t[at.start], seconds: t[at.seconds], attempt: t[at.attempt], frames: t[at.frames] });
    return {
      async cell(row, step, night) {
        const cell = night.cell(row, step), name = night.steps[step].name;
        const whole = cell && cell.done + cell.skipped >= cell.expected;
        const frames = data.frames[row].map((frame) => {
          const end = ended.get(frame);
          const status = end && end.step === step ? end.status : end && end.step < step ? "ended before"
            : cell && (cell.done || cell.skipped) ? "succeeded" : "not needed";
          return { name: frame, status };
        });
        void whole;
        const tasks = data.tasks.filter((t) => t[at.row] === row
          && night.labels[t[at.label]].split("+").some((part) => part === name || part.startsWith(`${name} `)));
        const mine = new Set(data.frames[row]);
        return { row: night.rows[row].name, step: name, master: night.rows[row].masterStep === step ? night.rows[row].master : "",
          frames, n_frames: frames.length, tasks: tasks.map((t) => describe(night, t)), n_tasks: tasks.length,
          failures: all.filter((f) => f.step === name && f.frames.some((one) => mine.has(one))),
          caveats: (data.caveats || []).filter((c) => c.step === name && c.frames.some((one) => mine.has(one))) };
      },
      async task(id, night) {
        const found = data.tasks.find((t) => t[at.id] === id);
        if (!found) throw new Error("This run has no such task.");
        return { ...describe(night, found), names: [], log: (data.logs || {})[id] || [] };
      },
      async failure(id) {
        if (!data.failed[id]) throw new Error("This run has no such failure.");
        return { ...data.failed[id], records: data.failed[id].failures.length };
      },
      async frame(name, night) {
        const row = data.frames.findIndex((names) => names.includes(name));
        if (row < 0) throw new Error("This run has no such frame.");
        const end = ended.get(name);
        return { name, row, row_name: night.rows[row].name, status: end ? end.status : "",
          end: end && end.step !== null ? night.steps[end.step].name : null,
          steps: night.columns().filter((s) => (night.cell(row, s.place)?.done || 0) > 0 && !(end && end.step !== null && end.step <= s.place)).map((s) => s.name),
          tasks: [], failures: all.filter((f) => f.frames.includes(name)),
          caveats: (data.caveats || []).filter((c) => c.frames.includes(name)) };
      },
    };
  };

  /* Draw a night from data that stand in the document itself. */
  mirar.still = function (root, data, options) {
    const mounted = mirar.mount(root, mirar.stillSource(data), options);
    mounted.update({ ...data, failures: data.failures });
    if (data.products && mounted.parts.flow) {
      mounted.parts.flow.products = data.products;
      mounted.parts.flow.update(mounted.night);
    }
    return mounted;
  };
})();
