/* Failures by kind, caveats, and the workers. */
"use strict";
(function () {
  const { el, bytes, count, mark, plural, seconds } = mirar;

  mirar.failuresPart = function (open) {
    const list = el("ul", { class: "failures" });
    const caveats = el("div", {});
    const title = el("h2", { id: "h-failures" }, "Failures");
    const root = el("section", { class: "card", "aria-labelledby": "h-failures" }, title, list, caveats);
    let only = "";
    const part = {
      root,
      night: null,
      update(night) {
        part.night = night;
        if (night.changed.failures || !list.childElementCount) show();
        const said = night.head.caveats || [];
        const text = JSON.stringify(said);
        if (caveats.dataset.said === String(text.length) + night.head.n_caveats) return;
        caveats.dataset.said = String(text.length) + night.head.n_caveats;
        caveats.replaceChildren(said.length ? el("details", { open: said.length < 4 },
          el("summary", {}, mark("caveats", plural(night.head.n_caveats, "caveat"))),
          el("ul", { class: "plain" }, said.map((one) => el("li", {}, `at ${one.step}: ${one.reason}`,
            one.frames.length ? el("span", { class: "small" }, ` (${plural(one.frames.length, "frame")})`) : null))))
          : "");
      },
      only(step) { only = step; show(); root.scrollIntoView({ block: "nearest" }); list.querySelector("button")?.focus(); },
    };
    function show() {
      const groups = part.night.failures.filter((g) => g && (!only || g.step === only));
      groups.sort((a, b) => b.frames - a.frames);
      title.textContent = `Failures${part.night.head.n_failures ? `, ${count(part.night.head.n_failures)}` : ""}`;
      list.replaceChildren(...groups.map((group) => el("li", {},
        el("button", { type: "button", class: "failure", onclick: () => open({ failure: group.id }) },
          mark(mirar.kind(group.status), `${group.kind}`),
          el("span", { class: "where" }, `at ${group.step}${group.frames ? `, ${plural(group.frames, "frame")}` : ""}`),
          el("span", { class: "why" }, group.reason)))),
        ...(only ? [el("li", {}, el("button", { type: "button", class: "link", onclick: () => part.only("") }, "show all"))] : []),
        ...(groups.length ? [] : [el("li", { class: "small" }, "none")]));
    }
    return part;
  };

  mirar.workersPart = function () {
    const head = el("tr", {}), rows = el("tbody", {});
    const note = el("p", { class: "small" });
    const root = el("section", { class: "card", "aria-labelledby": "h-workers" },
      el("h2", { id: "h-workers" }, "Workers"),
      el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "table of workers" },
        el("table", {}, el("thead", {}, head), rows)), note);
    let known = new Map();
    /* The journal knows a worker by host and process, the scheduler by address and process. */
    function said(night, live) {
      const found = new Map();
      for (const worker of live) {
        const mine = night.workers.filter(([name]) => name.split(":")[1] === String(worker.pid));
        const hosts = new Set(mine.map(([name]) => name.split(":")[0]));
        if (hosts.size !== 1 || live.filter((one) => one.pid === worker.pid).length > 1) continue;
        found.set(worker, { host: [...hosts][0], tasks: mine.reduce((n, one) => n + one[1], 0) });
      }
      return found;
    }
    function table(headings, lines) {
      head.replaceChildren(...headings.map((word) => el("th", { scope: "col" }, word)));
      rows.replaceChildren(...lines.map((cells) => el("tr", {}, cells.map((cell, n) =>
        n ? el("td", {}, cell) : el("th", { scope: "row" }, cell)))));
    }
    return {
      root,
      update(night, live) {
        if (live && live.length) {
          known = said(night, live);
          table(["host", "at work on", "memory", "cpu", "tasks"], live.map((w) => [
            known.get(w)?.host || w.host, w.tasks.length ? w.tasks.map((t) => el("div", {}, t.label, " ",
              el("span", { class: "small" }, t.frames ? `${t.frames}, ` : "", seconds(t.seconds)))) : mark("waiting", "idle"),
            meter(w.memory, w.limit), `${Math.round(w.cpu)} %`,
            count(known.get(w)?.tasks || 0),
          ]));
          note.textContent = "";
          return;
        }
        const over = Math.max(1e-3, (night.head.updated || 0) - (night.head.started || 0));
        table(["host", "process", "tasks", "busy", "last task"], night.workers.map(([name, tasks, busy, label]) => [
          name.split(":")[0], name.split(":")[1] || "", count(tasks),
          `${seconds(busy)}, ${Math.round((100 * busy) / over)} %`, night.labels[label] || ""]));
        note.textContent = night.workers.length ? "As the run's journal tells." : "No worker has done anything yet.";
      },
    };
    function meter(used, limit) {
      if (!limit) return bytes(used);
      const bar = el("i", {});
      bar.style.width = `${Math.min(100, (100 * used) / limit)}%`;
      return [el("span", { class: `bar${used > 0.8 * limit ? " high" : ""}` }, bar), `${bytes(used)} of ${bytes(limit)}`];
    }
  };
})();
