/* The sheet that tells what stands behind a cell, a task, a failure or a frame. What is open is in
   the address behind '#', so that it can be bookmarked, sent, and left by the way back. */
"use strict";
(function () {
  const { el, mark, plural, seconds, bytes, kind } = mirar;

  mirar.sheet = function (source, close) {
    const title = el("h2", { id: "h-sheet", tabindex: "-1" });
    const content = el("div", { class: "content" });
    const root = el("dialog", { class: "sheet", "aria-labelledby": "h-sheet" },
      el("div", { class: "top" }, title,
        el("button", { type: "button", class: "close", "aria-label": "close", onclick: () => root.close() }, "✕")),
      content);
    root.addEventListener("close", () => close());
    root.addEventListener("click", (event) => { if (event.target === root) root.close(); });
    let asked = 0;
    return {
      root,
      async show(what, night, go) {
        const mine = (asked += 1);
        title.textContent = "…";
        content.replaceChildren();
        if (!root.open) root.showModal();
        title.focus();
        try {
          const [name, parts] = await found(what, night, go);
          if (mine !== asked) return;
          title.textContent = name;
          mirar.put(content, parts);
        } catch (error) {
          if (mine !== asked) return;
          title.textContent = "not found";
          content.replaceChildren(el("p", {}, String(error.message || error)));
        }
      },
      hide() { if (root.open) root.close(); },
    };

    async function found(what, night, go) {
      if (what.frame !== undefined) return frame(await source.frame(what.frame, night), night, go);
      if (what.task !== undefined) return task(await source.task(what.task, night), go);
      if (what.failure !== undefined) return failure(await source.failure(what.failure, 0, night), what.failure, go);
      const row = night.rows[what.row], step = night.steps[what.step];
      if (!row || !step) throw new Error("This run has no such cell.");
      return cell(await source.cell(what.row, what.step, night), night.cell(what.row, what.step), night, go);
    }

    function cell(told, figures, night, go) {
      const by = {};
      for (const one of told.frames) (by[one.status] = by[one.status] || []).push(one.name);
      return [`${told.row}, ${told.step}`, [
        el("p", {}, mark(night.status(figures)), figures ? ` ${seconds(figures.seconds)} of workers' time` : "",
          told.master ? [" makes ", el("code", {}, told.master)] : ""),
        failures(told.failures), caveats(told.caveats),
        Object.entries(by).map(([status, names]) => part(`${plural(names.length, "frame")} ${status}`,
          frames(names, go, kind(status)), names.length <= 60)),
        told.n_frames > told.frames.length ? el("p", { class: "small" }, `${plural(told.n_frames, "frame")} in all`) : null,
        part(plural(told.n_tasks, "task"), tasks(told.tasks, go), true),
        told.log && told.log.length ? part("log", code(told.log.join("\n")), false) : null,
      ]];
    }
    function task(told, go) {
      const moved = [["read", told.read], ["written", told.written]].map(([word, by]) =>
        Object.entries(by || {}).map(([name, n]) => `${bytes(n)} of ${name} ${word}`)).flat();
      return [`task ${told.label}`, [
        el("p", {}, mark(kind(told.state === "done" ? "succeeded" : told.state), told.state), " ",
          seconds(told.seconds), told.worker ? ` on ${told.worker}` : "", `, ${mirar.moment(told.start)}`,
          told.attempt ? `, attempt ${told.attempt + 1}` : "", told.batch ? `, batch ${told.batch}` : ""),
        told.reason ? el("p", {}, told.reason) : null,
        told.times && told.times.length ? el("table", {}, el("thead", {}, el("tr", {},
          ["step", "seconds", "blocks"].map((word) => el("th", { scope: "col" }, word)))),
          el("tbody", {}, told.times.map(([name, s, n]) => el("tr", {}, el("th", { scope: "row" }, name),
            el("td", {}, seconds(s)), el("td", {}, n))))) : null,
        moved.length ? el("p", { class: "small" }, moved.join(", ")) : null,
        part("log", told.log && told.log.length ? code(told.log.join("\n"))
          : el("p", { class: "small" }, "nothing was logged"), true),
        part(plural(told.frames, "frame"), frames(told.names || [], go), true),
      ]];
    }
    function failure(told, number, go) {
      const list = el("div", {}, failures(told.failures, go));
      let start = told.failures.length;
      const more = start < told.records && source.failure.length ? el("button", { type: "button", class: "link",
        onclick: async () => {
          const next = await source.failure(number, start);
          start += next.failures.length;
          mirar.put(list, [failures(next.failures, go)]);
          if (!next.failures.length || start >= told.records) more.remove();
        } }, `more of ${told.records}`) : null;
      return [`${told.kind} at ${told.step}`, [el("p", {}, mark(kind(told.status), told.status), ` ${plural(told.records, "time")}`),
        list, more]];
    }
    function frame(told, night, go) {
      return [told.name, [
        el("p", {}, mark(told.status ? kind(told.status) : night.head.over ? "succeeded" : "waiting", told.status || null),
          ` in ${told.row_name}`, told.end ? `, ended in ${told.end}` : ""),
        el("p", {}, "passed: ", told.steps.length ? told.steps.join(", ") : "no step yet"),
        failures(told.failures), caveats(told.caveats),
        part(plural(told.tasks.length, "task"), tasks(told.tasks, go), true),
      ]];
    }

    function failures(list, go) {
      return (list || []).map((one) => el("article", { class: "told" },
        el("p", {}, mark(kind(one.status), one.status), ` at ${one.step}: ${one.reason}`),
        one.frames.length > 1 || go ? el("p", { class: "small" }, frames(one.frames.slice(0, 60), go)) : null,
        one.traceback ? el("details", {}, el("summary", {}, "traceback"), code(one.traceback)) : null));
    }
    function caveats(list) {
      return (list || []).map((one) => el("p", {}, mark("caveats", `at ${one.step}: ${one.reason}`)));
    }
    function tasks(list, go) {
      return el("ul", { class: "plain" }, list.slice(0, 100).map((one) => el("li", {},
        el("button", { type: "button", class: "link", onclick: () => go({ task: one.id }) },
          mark(kind(one.state === "done" ? "succeeded" : one.state), one.label)),
        el("span", { class: "small" }, ` ${one.state === "running" ? "since " + mirar.clock(one.start)
          : seconds(one.seconds)}${one.in_step === undefined ? "" : ` (${seconds(one.in_step)} in this step)`}, ${plural(one.frames, "frame")}${one.worker ? `, ${one.worker}` : ""}`
          + `${one.attempt ? `, attempt ${one.attempt + 1}` : ""}`))),
        list.length > 100 ? el("li", { class: "small" }, `and ${list.length - 100} more`) : null);
    }
    function frames(names, go, sign) {
      return el("span", { class: "frames" }, names.slice(0, 300).map((name) => go
        ? el("button", { type: "button", class: `link frame${sign ? ` t-${sign}` : ""}`, onclick: () => go({ frame: name }) }, name)
        : el("code", {}, name)), names.length > 300 ? ` and ${names.length - 300} more` : null);
    }
    function part(name, inside, open) {
      return el("details", { open: Boolean(open) }, el("summary", {}, name), inside);
    }
    function code(text) { return el("pre", { tabindex: "0" }, text); }
  };
})();
