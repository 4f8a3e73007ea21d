/* The live page: which runs there are, one of them drawn and kept up to date, its newest pictures. */
"use strict";
(function () {
  const { el, count, mark, place } = mirar;
  const OFTEN = 1000, SELDOM = 6000, PICTURES = 6000, LIST = 8000;

  const root = document.getElementById("mirar");
  const chooser = el("select", { id: "run", onchange: () => choose(chooser.value, true) });
  const trouble = el("span", { class: "trouble", role: "status" });
  const links = el("span", {});
  root.append(el("nav", { class: "bar-top", "aria-label": "runs" },
    el("span", { class: "brand" }, "mirar_dask"), el("label", { for: "run", class: "unseen" }, "run"), chooser,
    links, trouble, el("span", { class: "grow" }), mirar.themeButton(() => mounted && mounted.redraw())));
  const empty = el("p", { class: "small" });
  root.append(empty);

  let runs = [], current = null, mounted = null, timer = 0, pictureTimer = 0, pictures = null, asked = 0, silent = 0;

  async function ask(path) {
    let answer;
    try { answer = await fetch(`api/${path}`, { cache: "no-store" }); } catch {
      silent += 1;
      throw new Error(`The server does not answer: it ends with its run. 'mirar-dask page ${current || ""}' shows what was done.`);
    }
    silent = 0;
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(told.error || `The server answered ${answer.status}.`);
    return told;
  }
  const at = (path) => `runs/${encodeURIComponent(current)}/${path}`;
  const source = {
    cell: (row, step) => ask(at(`cell?row=${row}&step=${step}`)),
    task: (id) => ask(at(`task?id=${id}`)),
    failure: (id, start) => ask(at(`failure?id=${id}&start=${start || 0}`)),
    frame: (name) => ask(at(`frame?name=${encodeURIComponent(name)}`)),
  };

  /* Who does not answer is asked ever less often, and never given up: he may be started again. */
  const patient = (wait) => (silent ? Math.min(60_000, wait * 2 ** Math.min(silent, 6)) : wait);

  async function list() {
    try {
      const told = await ask("runs");
      runs = told.runs;
      links.replaceChildren(...(told.dask ? [el("a", { class: "link", href: "../status" }, "Dask’s dashboard")] : []));
      const wanted = place.read().run;
      const key = runs.map((run) => run.key + run.state).join();
      if (chooser.dataset.key !== key) {
        chooser.dataset.key = key;
        chooser.replaceChildren(...runs.map((run) => el("option", { value: run.key },
          `${run.pipeline} ${run.night} · ${run.key} · ${run.state}`)));
        if (current) chooser.value = current;
      }
      empty.textContent = runs.length ? "" : told.why || "There is no run to show yet.";
      if (!current && runs.length) choose(runs.some((run) => run.key === wanted) ? wanted : runs[0].key, false);
    } catch (error) { say(error.message); }
    setTimeout(list, patient(document.hidden ? 4 * LIST : LIST));
  }

  function choose(key, clicked) {
    current = key;
    chooser.value = key;
    if (clicked) place.write({ run: key }, false);
    else if (place.read().run !== key) place.write({ ...place.read(), run: key }, true);
    if (!mounted) {
      const parts = ["head", "flow", "board", "failures", "workers", "resources", "timeline"];
      mounted = mirar.mount(root, source, { parts });
      pictures = picturePart();
      mounted.parts.timeline.root.before(pictures.root);
    } else mounted.forget();
    pictures.clear();
    clearTimeout(timer); clearTimeout(pictureTimer);
    poll(); newest();
  }

  async function poll() {
    const mine = (asked += 1);
    let wait = OFTEN;
    try {
      const { epoch, rev } = mounted.night;
      const answer = await ask(at(`changes?epoch=${epoch}&since=${rev}`));
      if (mine !== asked) return;
      mounted.update(answer, answer.live);
      say("");
      if (answer.head.over) wait = SELDOM;
    } catch (error) {
      if (mine !== asked) return;
      say(error.message);
      wait = SELDOM;
    }
    timer = setTimeout(poll, patient(document.hidden ? Math.max(wait, SELDOM) : wait));
  }
  async function newest() {
    const key = current;
    let wait = PICTURES;
    try {
      const told = await ask(at("pictures"));
      if (key !== current) return;
      pictures.update(told);
      mounted.parts.flow.products = told.products;
      if (mounted.night.names) mounted.parts.flow.update(mounted.night);
      if (mounted.night.head.over) wait = 10 * PICTURES;
    } catch (error) { if (key === current) say(error.message); }
    pictureTimer = setTimeout(newest, patient(document.hidden ? 4 * wait : wait));
  }
  function say(text) { if (trouble.textContent !== text) trouble.textContent = text; }

  function picturePart() {
    const shots = el("div", { class: "pictures" });
    const view = el("dialog", { class: "sheet", "aria-labelledby": "h-picture" });
    const part = el("section", { class: "card wide", "aria-labelledby": "h-pictures" },
      el("h2", { id: "h-pictures" }, "Newest pictures"), shots, view);
    let shown = "";
    const address = (one, size) => `api/${at(`picture?path=${encodeURIComponent(one.path)}&size=${size}&v=${one.version}`)}`;
    function enlarge(one) {
      view.replaceChildren(el("div", { class: "top" }, el("h2", { id: "h-picture" }, one.path),
        el("button", { type: "button", class: "close", "aria-label": "close", onclick: () => view.close() }, "✕")),
        el("div", { class: "content" }, el("img", { class: "whole", alt: `${one.kind} ${one.path}`, src: address(one, 1024) })));
      view.showModal();
    }
    view.addEventListener("click", (event) => { if (event.target === view) view.close(); });
    return {
      root: part,
      clear() { shown = ""; shots.replaceChildren(el("p", { class: "small" }, "none yet")); },
      update(told) {
        const key = JSON.stringify(told.pictures);
        if (key === shown) return;
        shown = key;
        const groups = told.pictures.filter((group) => group.files.length);
        shots.replaceChildren(...groups.flatMap((group) => [el("h3", {}, `${group.kind}, ${count(group.number)}`),
          ...group.files.map((one) => {
            const image = el("img", { loading: "lazy", alt: `${group.kind} ${one.path}`, src: address(one, 256) });
            image.addEventListener("error", async () => {
              const why = await fetch(image.src).then((r) => r.json()).catch(() => ({}));
              image.replaceWith(mark("failed", why.error || "cannot be shown"));
            });
            return el("figure", {}, el("button", { type: "button", class: "shot", "aria-label": `enlarge ${one.path}`,
              onclick: () => enlarge({ ...one, kind: group.kind }) }, image), el("figcaption", {}, one.path.split("/").pop()));
          })]));
        if (!groups.length) shots.replaceChildren(el("p", { class: "small" }, "none yet"));
      },
    };
  }

  window.addEventListener("hashchange", () => {
    const wanted = place.read().run;
    if (wanted && wanted !== current && runs.some((run) => run.key === wanted)) choose(wanted, false);
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && current) { clearTimeout(timer); poll(); }
  });
  list();
})();
