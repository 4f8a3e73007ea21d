/* The plots and the table of what a run measured. `data` is the night with its report, `drawn` what
   was drawn of it already. Text from headers is only ever set as text. */
const { el, svg } = mirar;
const told = data.report;
const columns = Object.fromEntries(told.columns.map((column, n) => [column.name, { ...column, values: told.values[n] }]));
const rows = told.times.length;
const at = (name, row) => columns[name].values[row];
const link = (file) => told.base + file.split("/").map(encodeURIComponent).join("/");

/* -- figures for people --------------------------------------------------------------------- */

function figure(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return String(value);
  if (size >= 1e5 || (size < 1e-3 && size > 0)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}
/* Values of an axis with as many digits as tell them apart. */
function axisFigure(value, ticks) {
  const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 0;
  const digits = Math.max(0, -Math.floor(Math.log10(step || 1) + 1e-9));
  return step && digits <= 7 && Math.abs(value) < 1e6 ? value.toFixed(digits) : figure(value);
}
const day = (t) => new Date(1000 * t).toISOString().slice(0, 10);

/* Round values along an axis, at most so many. */
function ticks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((n) => n * power >= rough);
  const found = [];
  // Counted, as numbers of a header may be so large that one more changes nothing.
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step && found.length < 30; n += 1) {
    found.push(Number((n * step).toPrecision(12)));
  }
  return found;
}
const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
function timeTicks(low, high, most) {
  const span = high - low;
  let step = SPANS.find((s) => s * most >= span);
  if (step === undefined) step = 86400 * Math.max(1, Math.ceil(span / most / 86400));
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high && found.length < 30; t += step) found.push(t);
  return found;
}
function timeWord(t, span) {
  if (span > 3 * 86400) return day(t);
  return mirar.clock(t).slice(0, span < 600 ? 8 : 5);
}

/* -- marks: a colour and a shape for each filter ---------------------------------------------- */

const SHAPES = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x} ${y - 1.3 * r}l${1.25 * r} ${2.2 * r}h${-2.5 * r}z`,
  (x, y, r) => `M${x} ${y - 1.4 * r}l${1.4 * r} ${1.4 * r}l${-1.4 * r} ${1.4 * r}l${-1.4 * r} ${-1.4 * r}z`,
  (x, y, r) => `M${x - r} ${y - r}l${2 * r} ${2 * r}M${x + r} ${y - r}l${-2 * r} ${2 * r}`,
  (x, y, r) => `M${x} ${y - 1.3 * r}v${2.6 * r}M${x - 1.3 * r} ${y}h${2.6 * r}`,
];
const filled = (n) => n % SHAPES.length < 4;
function points(list, n) {
  const shape = SHAPES[n % SHAPES.length], hue = mirar.hue(n);
  const path = svg("path", { class: filled(n) ? "points filled" : "points",
    d: list.map(([x, y]) => shape(Number(x.toFixed(1)), Number(y.toFixed(1)), list.length > 600 ? 1.6 : 2.8)).join("") });
  path.style[filled(n) ? "fill" : "stroke"] = hue;
  return path;
}
function key(name, n) {
  return el("span", { class: "key" }, svg("svg", { viewBox: "0 0 13 13", "aria-hidden": "true" }, points([[6.5, 6.5]], n)), name);
}

/* -- one plot ------------------------------------------------------------------------------- */

const WIDE = 330, HIGH = 150, LEFT = 46, BOTTOM = 20, TOP = 8, RIGHT = 8;

/* spots: { x, y, group, word }; axis: "time" or the name of what is along x. */
function plot(title, unit, spots, groups, axis) {
  const xs = spots.map((s) => s.x), ys = spots.map((s) => s.y).sort((a, b) => a - b);
  const range = (low, high) => (high > low ? [low - 0.05 * (high - low), high + 0.05 * (high - low)]
    : [low - (Math.abs(low) * 0.05 || 0.5), high + (Math.abs(high) * 0.05 || 0.5)]);
  const reach = (list) => list.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  let [x0, x1] = reach(xs);
  [x0, x1] = axis === "time" && x1 === x0 ? [x0 - 60, x1 + 60] : range(x0, x1);
  const [y0, y1] = range(ys[0], ys[ys.length - 1]);
  const x = (v) => LEFT + ((v - x0) / (x1 - x0)) * (WIDE - LEFT - RIGHT);
  const y = (v) => HIGH - BOTTOM - ((v - y0) / (y1 - y0)) * (HIGH - BOTTOM - TOP);
  const median = ys[Math.floor(ys.length / 2)];
  const drawing = svg("svg", { class: "plot", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img",
    "aria-label": `${title} against ${axis}: ${spots.length} values from ${figure(ys[0])} to ${figure(ys[ys.length - 1])}, median ${figure(median)} ${unit}` });
  const up = ticks(y0, y1, 4);
  for (const v of up) {
    drawing.append(svg("line", { class: "rule", x1: LEFT, x2: WIDE - RIGHT, y1: y(v), y2: y(v) }),
      svg("text", { x: LEFT - 5, y: y(v) + 3.5, "text-anchor": "end" }, axisFigure(v, up)));
  }
  const along = axis === "time" ? timeTicks(x0, x1, x1 - x0 > 3 * 86400 || x1 - x0 < 600 ? 3 : 5) : ticks(x0, x1, 5);
  for (const v of along) {
    drawing.append(svg("line", { class: "rule", x1: x(v), x2: x(v), y1: TOP, y2: HIGH - BOTTOM }),
      svg("text", { x: Math.min(x(v), WIDE - 22), y: HIGH - 6, "text-anchor": "middle" }, axis === "time" ? timeWord(v, x1 - x0) : axisFigure(v, along)));
  }
  drawing.append(svg("rect", { class: "frame-of", x: LEFT, y: TOP, width: WIDE - LEFT - RIGHT, height: HIGH - BOTTOM - TOP }));
  groups.forEach((group, n) => {
    const mine = spots.filter((s) => s.group === group).map((s) => [x(s.x), y(s.y)]);
    if (mine.length) drawing.append(points(mine, n));
  });
  const near = svg("circle", { class: "near", r: 5.5 });
  drawing.append(near);
  const word = el("p", { class: "told" }, "\u00a0");
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect(), scale = WIDE / box.width;
    const px = (event.clientX - box.left) * scale, py = (event.clientY - box.top) * scale;
    let best = null, least = 900;
    for (const s of spots) {
      const d = (x(s.x) - px) ** 2 + (y(s.y) - py) ** 2;
      if (d < least) { least = d; best = s; }
    }
    near.style.visibility = best ? "visible" : "hidden";
    word.textContent = best ? `${best.word}: ${figure(best.y)} ${unit}` : "\u00a0";
    if (best) { near.setAttribute("cx", x(best.x)); near.setAttribute("cy", y(best.y)); }
  });
  drawing.addEventListener("pointerleave", () => { near.style.visibility = "hidden"; word.textContent = "\u00a0"; });
  return el("figure", {}, el("figcaption", {}, el("b", {}, title), el("span", {}, unit === "units of the image" ? "" : unit)), drawing, word);
}

/* -- what was measured, against time and airmass ---------------------------------------------- */

(function quality() {
  const place = document.getElementById("plots");
  const all = [...Array(rows).keys()];
  const frames = all.filter((row) => at("kind", row) === "frame");
  const stacks = all.filter((row) => at("kind", row) === "stack");
  const grid = el("div", { class: "plots" }), choice = el("fieldset", { class: "choose" }, el("legend", { class: "unseen" }, "What is along the plots"));
  const axes = { time: (row) => told.times[row], airmass: (row) => at("airmass", row) };
  let axis = "time";
  const groups = [...new Set([...frames, ...stacks].map((row) => String(at("filter", row) ?? "")))].sort();
  function draw() {
    const drawings = [];
    for (const column of told.columns.filter((one) => one.plot)) {
      const have = (list) => list.filter((row) => at(column.name, row) !== null && axes[axis](row) !== null);
      const of = have(frames).length >= 2 ? have(frames) : have(stacks);
      if (of.length < 2) continue;
      const spots = of.map((row) => ({ x: axes[axis](row), y: at(column.name, row), group: String(at("filter", row) ?? ""),
        word: at("file", row).split("/").pop() }));
      const kind = of[0] === have(frames)[0] ? "" : " (stacks)";
      drawings.push(plot(column.name.replaceAll("_", " ") + kind, column.unit, spots, groups, axis));
    }
    grid.replaceChildren(...drawings);
    if (!drawings.length) grid.replaceChildren(el("p", { class: "small" }, `Nothing was measured of two or more images, or their ${axis} is not known.`));
  }
  const known = frames.filter((row) => at("airmass", row) !== null).length > 1;
  for (const name of Object.keys(axes)) {
    choice.append(el("label", {}, el("input", { type: "radio", name: "axis", value: name, checked: name === axis,
      disabled: name === "airmass" && !known, onchange: () => { axis = name; draw(); } }), `against ${name}`));
  }
  choice.append(...groups.filter((name) => name).map((name, n) => key(name, groups.indexOf(name))));
  place.append(choice, grid);
  draw();
})();

/* -- masters ---------------------------------------------------------------------------------- */

(function levels() {
  const place = document.getElementById("levels");
  const grid = el("div", { class: "plots" }), words = ["other nights", "this night"];
  const sets = new Map();
  for (const one of told.masters) {
    const name = [one.kind, one.group].filter(Boolean).join(", ");
    if (!sets.has(name)) sets.set(name, []);
    sets.get(name).push(one);
  }
  const lines = [];
  for (const [name, list] of sets) {
    for (const what of ["level", "noise"]) {
      const spots = list.filter((one) => one[what] !== null && one.time !== null).map((one) => ({ x: one.time, y: one[what],
        group: words[Number(one.ours)], word: `${one.night}, ${one.combined ?? "?"} frames` }));
      if (spots.length > 1) grid.append(plot(`${what} of ${name}`, "", spots, words, "time"));
    }
    for (const one of list.filter((each) => each.ours)) {
      lines.push(el("tr", {}, el("td", {}, one.kind), el("td", {}, one.group), el("td", { class: "number" }, figure(one.level)),
        el("td", { class: "number" }, figure(one.noise)), el("td", { class: "number" }, figure(one.combined)), el("td", { class: "file" }, one.file)));
    }
  }
  if (!sets.size) { place.append(el("p", { class: "small" }, "No master was found in the night's folder.")); return; }
  if (grid.childElementCount) place.append(el("p", { class: "choose" }, words.map((word, n) => key(word, n))), grid);
  else place.append(el("p", { class: "small" }, "No other night with such masters lies beside this one."));
  place.append(el("div", { class: "scroll-wide", tabindex: "0", role: "region", "aria-label": "masters of this night" },
    el("table", { class: "sorted" }, el("thead", {}, el("tr", {}, ["kind", "of", "level", "noise", "frames", "file"].map((word, n) =>
      el("th", { scope: "col", class: n > 1 && n < 5 ? "number" : null }, word)))), el("tbody", {}, lines))));
})();

/* -- the table ---------------------------------------------------------------------------------- */

(function table() {
  const place = document.getElementById("table");
  const shown = told.columns.filter((column) => columns[column.name].values.some((v) => v !== null));
  if (!rows) { place.append(el("p", { class: "small" }, "Nothing was measured: the run has left no product.")); return; }
  const PAGE = 25;
  let order = [...Array(rows).keys()], chosen = order, by = null, down = false, page = 0;
  const body = el("tbody", {}), number = el("span", { class: "small", role: "status" });
  const words = el("input", { type: "search", id: "words", placeholder: "file, target, filter", autocomplete: "off", spellcheck: "false",
    oninput: () => { page = 0; choose(); } });
  const heads = shown.map((column) => el("th", { scope: "col", class: column.text ? null : "number" },
    el("button", { type: "button", title: column.doc + (column.unit ? ` [${column.unit}]` : ""), onclick: () => sort(column.name) }, column.name.replaceAll("_", " "))));
  const button = (word, move) => el("button", { type: "button", onclick: () => { page += move; show(); } }, word);
  const back = button("previous", -1), on = button("next", 1);

  function sort(name) {
    down = by === name ? !down : false;
    by = name;
    const values = columns[name].values, sign = down ? -1 : 1;
    order = [...order].sort((a, b) => {
      const [u, v] = [values[a], values[b]];
      if (u === null || v === null) return (u === null) - (v === null);
      return sign * (u < v ? -1 : u > v ? 1 : 0);
    });
    heads.forEach((head, n) => head.setAttribute("aria-sort", shown[n].name === by ? (down ? "descending" : "ascending") : "none"));
    page = 0;
    choose();
  }
  function choose() {
    const wanted = words.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const text = (row) => ["file", "kind", "target", "filter"].map((name) => at(name, row) ?? "").join(" ").toLowerCase();
    chosen = wanted.length ? order.filter((row) => wanted.every((word) => text(row).includes(word))) : order;
    show();
  }
  function show() {
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    page = Math.max(0, Math.min(page, pages - 1));
    body.replaceChildren(...chosen.slice(page * PAGE, (page + 1) * PAGE).map((row) => el("tr", {}, shown.map((column) => cell(column, row)))));
    number.textContent = `${mirar.plural(chosen.length, "row")}, page ${page + 1} of ${pages}`;
    back.disabled = page === 0; on.disabled = page === pages - 1;
  }
  function cell(column, row) {
    const value = at(column.name, row);
    if (column.name === "file") return el("td", { class: "file" }, el("a", { href: link(value) }, value));
    if (column.name === "time") return el("td", {}, value === null ? "" : value.slice(0, 19).replace("T", " "));
    return el("td", { class: column.text ? null : "number" }, figure(value));
  }
  place.append(el("p", { class: "choose" }, el("label", { for: "words", class: "unseen" }, "Show rows with"), words, number),
    el("div", { class: "scroll-wide", tabindex: "0", role: "region", "aria-label": "table of measurements" },
      el("table", { class: "sorted" }, el("thead", {}, el("tr", {}, heads)), body)),
    el("div", { class: "pages" }, back, on));
  choose();
})();
