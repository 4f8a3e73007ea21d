/* The head of a run, and the night as a flow: raw frames, steps with their masters, products. */
"use strict";
(function () {
  const { el, mark, count, plural, rate, seconds } = mirar;

  mirar.headPart = function () {
    const title = el("h1", { id: "title" }, "…");
    const state = el("p", { class: "state", role: "status" });
    const facts = el("ul", { class: "facts" });
    const bar = el("div", { class: "share", role: "img" });
    const root = el("header", { class: "head" }, el("div", { class: "title" }, title, state), bar, facts);
    return {
      root,
      update(night) {
        const head = night.head;
        title.textContent = `${head.pipeline || "night"} ${head.night || head.run_id || ""}`;
        document.title = `${head.pipeline || ""} ${head.night || ""} · mirar_dask`.trim();
        const why = head.why ? `: ${head.why}` : "";
        const word = head.state || (head.seconds !== null ? "ended" : "running");
        const text = `${word}${why}`;
        if (state.textContent !== text) state.textContent = text;
        state.dataset.state = word;
        const end = head.seconds !== null && head.seconds !== undefined
          ? head.seconds : ((head.over ? head.updated : head.now) || head.updated) - head.started;
        const counts = Object.entries(head.counts || {});
        bar.replaceChildren();
        bar.setAttribute("aria-label",
          counts.map(([name, n]) => `${n} ${name}`).join(", ") || "no frames yet");
        for (const [name, n] of counts) {
          const part = el("i", { class: `s-${mirar.kind(name)}` });
          part.style.flexGrow = n;
          bar.append(part);
        }
        const tasks = head.tasks || {};
        facts.replaceChildren();
        mirar.put(facts, [
          el("li", {}, el("b", {}, plural(head.frames || 0, "frame")),
            counts.map(([name, n]) => [" ", mark(mirar.kind(name), `${count(n)} ${name}`)])),
          head.started && el("li", {}, el("b", {}, seconds(end)), ` since ${mirar.moment(head.started)}`),
          el("li", {}, el("b", {}, count(tasks.done || 0)), " tasks done",
            tasks.open ? `, ${count(tasks.open)} ${head.over ? "cut off" : "under way"}` : "",
            tasks.lost ? `, ${count(tasks.lost)} lost` : ""),
          head.workers > 0 && !head.over && el("li", {}, plural(head.workers, "worker")),
          el("li", {}, `run ${head.run_id}`, head.host ? ` on ${head.host}` : ""),
          ["dead", "interrupted"].includes(head.state)
            && el("li", {}, el("code", {}, `mirar-dask resume ${head.folder}`), " goes on with it"),
        ]);
      },
    };
  };

  const QUIET = new Set(["pass", "header", "source"]);

  mirar.flowPart = function (open) {
    const list = el("ol", { class: "flow" });
    const root = el("section", { class: "card wide", "aria-labelledby": "h-flow" },
      el("h2", { id: "h-flow" }, "From raw frames to products"), list);
    return {
      root,
      products: null,
      update(night) {
        const nodes = [el("li", { class: "node end" }, el("strong", {}, "raw frames"),
          el("span", { class: "big" }, count(night.head.frames || 0)))];
        let segment = 0;
        night.steps.forEach((step, place) => {
          const several = Math.max(...night.steps.map((s) => s.segment)) > 0;
          const begins = several && step.segment !== segment && step.segment >= 0;
          segment = Math.max(segment, step.segment);
          nodes.push(QUIET.has(step.form) && !step.failed && !step.blocked && !step.lost
            ? quiet(step, begins) : node(night, step, place, begins));
        });
        if (this.products) {
          const total = Object.values(this.products).reduce((a, b) => a + b, 0);
          nodes.push(el("li", { class: "node end" }, el("strong", {}, "products"),
            el("span", { class: "big" }, count(total)),
            Object.entries(this.products).map(([name, n]) =>
              el("span", { class: "small" }, `${count(n)} in ${name}/`))));
        }
        const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
        list.replaceChildren(...nodes);
        if (focused) list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
      },
    };

    function quiet(step, begins) {
      const words = [step.name];
      if (step.aside) words.push(` –${count(step.aside)}`);
      return el("li", { class: `node quiet${begins ? " begins" : ""}`, title: step.description || null },
        words);
    }

    function node(night, step, place, begins) {
      const images = step.images;
      const bare = QUIET.has(step.form);
      const share = images ? Math.min(1, (step.done + step.skipped) / images) : step.done && night.head.state === "ended" ? 1 : 0;
      const bar = el("i", {});
      bar.style.width = `${100 * share}%`;
      const each = step.done ? step.seconds / step.done : null;
      const masters = night.masters.filter((m) => m.step === step.name);
      const bad = ["failed", "blocked", "lost"].filter((kind) => step[kind]);
      return el("li", { class: `node${begins ? " begins" : ""}${step.running && !night.head.over ? " busy" : ""}`,
        title: step.description || null },
        begins ? el("span", { class: "small" }, `segment ${step.segment + 1}`) : null,
        el("strong", {}, step.name), el("span", { class: "small" }, step.processor),
        bare ? null : [el("span", { class: "big" }, count(step.done),
          el("span", { class: "of" }, images === null ? "" : ` / ${count(images)}`)),
        el("span", { class: "bar" }, bar),
        el("span", { class: "small figures" },
          el("span", {}, rate(step.rate)), el("span", {}, each === null ? "" : `${seconds(each)} each`))],
        el("span", { class: "marks" },
          step.running && !night.head.over ? mark("running", count(step.running)) : null,
          bad.map((kind) => el("button", { type: "button", class: `mark s-${kind}`, "data-key": `${place}${kind}`,
            onclick: () => open({ steps: step.name }) , title: mirar.WORDS[kind] },
            el("span", { class: "sign", "aria-hidden": "true" }, mirar.SIGNS[kind]),
            count(step[kind]), el("span", { class: "unseen" }, ` ${mirar.WORDS[kind]} in ${step.name}`))),
          step.caveats ? mark("caveats", count(step.caveats), el("span", { class: "unseen" }, " caveats")) : null,
          step.skipped ? mark("skipped", count(step.skipped), el("span", { class: "unseen" }, " done before")) : null),
        masterLine(masters));
    }
    function masterLine(masters) {
      if (!masters.length) return null;
      const made = masters.filter((m) => m.made), found = masters.length - made.length;
      const frames = made.reduce((sum, m) => sum + m.frames, 0);
      const words = [];
      if (made.length) words.push(`${plural(made.length, "master")} of ${plural(frames, "frame")}`);
      if (found) words.push(`${plural(found, "master")} found`);
      return el("span", { class: "small master" }, words.join(", "));
    }
  };
})();
