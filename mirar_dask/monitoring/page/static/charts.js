/* What the run takes up over time (memory, cache, disk), and which worker did what when. */
"use strict";
(function () {
  const { el, svg, bytes, count, seconds } = mirar;
  const WIDE = 320, HIGH = 84;

  mirar.resourcesPart = function () {
    const charts = el("div", { class: "charts" });
    const root = el("section", { class: "card wide", "aria-labelledby": "h-resources" },
      el("h2", { id: "h-resources" }, "Memory, cache, disk"), charts);
    return {
      root,
      update(night) {
        if (!night.changed.samples && charts.childElementCount) return;
        if (!night.samples.length) {
          charts.replaceChildren(el("p", { class: "small" }, "The run has told of none yet."));
          return;
        }
        const at = Object.fromEntries(night.names.sample.map((name, n) => [name, n]));
        const points = thin(night.samples, 300);
        const series = (name) => points.map((s) => [s[at.time], s[at[name]]]);
        const now = night.samples[night.samples.length - 1];
        const limit = now[at.memory_limit], size = now[at.disk_size];
        charts.replaceChildren(
          chart("memory of all workers", series("memory"), limit,
            `${bytes(now[at.memory])}${limit ? ` of ${bytes(limit)}` : ""}`,
            now[at.fullest] ? `fullest worker ${Math.round(100 * now[at.fullest])} %` : ""),
          chart("cache", series("cache_bytes"), 0, bytes(now[at.cache_bytes]),
            `${mirar.plural(now[at.cache_files], "file")}${now[at.cache_free] ? `, ${bytes(now[at.cache_free])} free` : ""}`),
          chart("disk of the products, free", series("disk_free"), size,
            `${bytes(now[at.disk_free])}${size ? ` of ${bytes(size)}` : ""}`, ""));
      },
    };
  };

  function thin(list, most) {
    if (list.length <= most) return list;
    const step = (list.length - 1) / (most - 1);
    return Array.from({ length: most }, (_, n) => list[Math.round(n * step)]);
  }

  function chart(name, points, limit, value, more) {
    const first = points[0][0], span = Math.max(points[points.length - 1][0] - first, 1);
    if (points.length === 1) points = [points[0], [first + span, points[0][1]]];
    const highest = Math.max(...points.map((p) => p[1]), 1);
    const top = limit && limit < 4 * highest ? limit * 1.04 : highest * 1.15;
    const x = (t) => ((t - first) / span) * WIDE, y = (v) => HIGH - (v / top) * HIGH;
    const line = points.map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
    const drawn = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", class: "chart",
      role: "img", "aria-label": `${name}: ${value}; at most ${bytes(highest)}` },
      svg("polygon", { points: `0,${HIGH} ${line} ${x(first + span)},${HIGH}`, class: "area" }),
      svg("polyline", { points: line, class: "line" }));
    if (limit && limit <= top) {
      drawn.append(svg("line", { x1: 0, x2: WIDE, y1: y(limit), y2: y(limit), class: "limit" }));
    }
    return el("figure", {}, el("figcaption", {}, el("span", {}, name), el("b", {}, value)), drawn,
      el("p", { class: "axis small" }, el("span", {}, mirar.clock(first)), el("span", {}, more),
        el("span", {}, mirar.clock(first + span))));
  }

  /* -- who did what when -------------------------------------------------------------------- */

  const ROW = 16, GAP = 3;
  mirar.hue = (n) => `var(--hue-${n % 10})`;

  mirar.timelinePart = function (open) {
    const canvas = el("canvas", { role: "img", "aria-label": "tasks by worker over time" });
    const tip = el("p", { class: "small tip" }, "\u00a0");
    const names = el("div", { class: "names", "aria-hidden": "true" });
    const legend = el("p", { class: "legend" });
    const longest = el("ol", { class: "plain" });
    const root = el("section", { class: "card wide", "aria-labelledby": "h-time" },
      el("h2", { id: "h-time" }, "Workers over time"), legend,
      el("div", { class: "gantt" }, names, el("div", { class: "lanes" }, canvas)), tip,
      el("details", {}, el("summary", {}, "the longest tasks"), longest));
    let night = null, drawn = 0;
    canvas.addEventListener("mousemove", (event) => { tip.textContent = describe(hit(event)) || "\u00a0"; });
    canvas.addEventListener("click", (event) => { const task = hit(event); if (task) open({ task: task[0] }); });
    if (window.ResizeObserver) new ResizeObserver(() => night && draw()).observe(canvas.parentNode);
    window.addEventListener("beforeprint", () => night && draw());
    window.matchMedia?.("(prefers-color-scheme: dark)").addEventListener?.("change", () => night && draw());

    function lanes() {
      const order = night.workers.map((worker, n) => n);
      order.sort((a, b) => (night.workers[a][0] < night.workers[b][0] ? -1 : 1));
      return new Map(order.map((worker, lane) => [worker, lane]));
    }
    function range() {
      const first = night.tasks.reduce((least, t) => Math.min(least, t[3]), night.head.started || Infinity);
      const last = night.tasks.reduce((most, t) => Math.max(most, t[3] + t[4]), first + 1);
      return [first, Math.max(last - first, 1e-3)];
    }
    function describe(task) {
      if (!task) return "";
      return `${night.labels[task[2]]}: ${seconds(task[4])}, ${mirar.plural(task[5], "frame")}, `
        + `${task[1] >= 0 ? night.workers[task[1]][0] : "no worker known"}, ${mirar.clock(task[3])}`
        + (task[8] ? ", lost" : "");
    }
    function hit(event) {
      if (!night || !night.tasks.length) return null;
      const box = canvas.getBoundingClientRect(), [first, span] = range(), where = lanes();
      const t = first + ((event.clientX - box.left) / box.width) * span, slack = (2 * span) / box.width;
      const lane = Math.floor((event.clientY - box.top) / (ROW + GAP));
      let best = null;
      for (const task of night.tasks) {
        if (where.get(task[1]) === lane && task[3] - slack <= t && t <= task[3] + task[4] + slack
          && (!best || task[4] < best[4] || task[3] > best[3])) best = task;
      }
      return best;
    }
    function draw() {
      drawn = performance.now();
      const where = lanes(), high = Math.max(1, where.size) * (ROW + GAP);
      const wide = Math.max(200, canvas.parentNode.clientWidth), ratio = window.devicePixelRatio || 1;
      canvas.width = wide * ratio; canvas.height = high * ratio;
      canvas.style.height = `${high}px`;
      const context = canvas.getContext("2d"), colour = colours();
      context.scale(ratio, ratio);
      context.clearRect(0, 0, wide, high);
      context.fillStyle = colour("--lane");
      for (let lane = 0; lane < where.size; lane += 1) context.fillRect(0, lane * (ROW + GAP), wide, ROW);
      const hues = Array.from({ length: 10 }, (_, n) => colour(`--hue-${n}`)), lost = colour("--lost");
      const [first, span] = night.tasks.length ? range() : [0, 1];
      for (const task of night.tasks) {
        const lane = where.get(task[1]);
        if (lane === undefined) continue;
        context.fillStyle = task[8] ? lost : hues[task[2] % 10];
        const x = ((task[3] - first) / span) * wide;
        context.fillRect(x, lane * (ROW + GAP), Math.max(1, (task[4] / span) * wide - 0.5), ROW);
      }
      names.replaceChildren(...[...where.keys()].map((worker) => el("span", {}, short(night.workers[worker][0]))));
    }
    /* A canvas knows no variables: what they are in light or in dark is asked of an element. */
    function colours() {
      return (name) => {
        tip.style.color = `var(${name})`;
        const found = getComputedStyle(tip).color;
        tip.style.color = "";
        return found;
      };
    }
    function short(name) {
      const [host, pid] = name.split(":");
      return pid ? `${host} ${pid}` : host;
    }
    return {
      root,
      update(now) {
        const first = night === null;
        night = now;
        if (!night.changed.tasks && !first) return;
        if (!first && !night.head.over && performance.now() - drawn < 1500) return;
        legend.replaceChildren(...night.labels.slice(0, 20).map((label, n) => {
          const swatch = el("i", { class: "swatch", "aria-hidden": "true" });
          swatch.style.background = mirar.hue(n);
          return el("span", {}, swatch, label);
        }));
        const slow = [...night.tasks].sort((a, b) => b[4] - a[4]).slice(0, 20);
        longest.replaceChildren(...slow.map((task) => el("li", {},
          el("button", { type: "button", class: "link", onclick: () => open({ task: task[0] }) }, describe(task)))));
        draw();
      },
      redraw: () => night && draw(),
    };
  };
  void count;
})();
