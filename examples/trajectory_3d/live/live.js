/* Draws a run from its events, as they come. Needs Plotly and Plots; asks nobody but the server of this page. */
"use strict";

(() => {
  const {
    byId, PALETTE, DASHES, SYMBOLS, FORECAST, GRID, logAxis, layout, draw, number, range, fill, useUnit, scene,
    heat, expertNames, forecastPaths,
  } = Plots;
  const MOST_COLUMNS = 300; // of a table over time
  const MOST_RECORDS = 4000; // of a kind; then every second one is let go
  const REDRAW_MILLISECONDS = 700;

  let run = null; // of the event "start"
  let steps = [], evaluations = [], snapshots = [], ended = null;
  let best = null; // validation so far
  let following = true; // the slider stays at the newest snapshot

  /* ---- what the browser is told ---- */
  const source = new EventSource("/events");
  const on = (kind, take) => source.addEventListener(kind, (event) => {
    take(JSON.parse(event.data));
    schedule(kind);
  });
  const keep = (records, event) => {
    records.push(event);
    return records.length > MOST_RECORDS ? records.filter((each, index) => index % 2 === 0 || each === event || each.is_best) : records;
  };
  on("start", (event) => {
    run = event;
    useUnit(run.unit);
    [steps, evaluations, snapshots, ended, following, best] = [[], [], [], null, true, null];
    prepare();
  });
  on("step", (event) => (steps = keep(steps, event)));
  on("evaluation", (event) => {
    evaluations = keep(evaluations, event);
    if (event.is_best) best = event;
  });
  on("snapshot", (event) => (snapshots = keep(snapshots, event)));
  on("note", (event) => (byId("about").textContent = `${described()}; after step ${event.step}: ${event.text}`));
  on("end", (event) => {
    ended = event.status;
    source.close(); // a finished run says nothing more; the page keeps what it has
    say(ended);
  });
  source.onopen = () => say(ended || "training");
  source.onerror = () => say(ended || "connection lost, trying again");
  const say = (text) => {
    byId("status").textContent = text;
    byId("status").dataset.state = text.split(",")[0];
  };

  /* ---- drawing: at most so often, what has news, and never for a page that nobody sees ---- */
  const news = new Set();
  let planned = null, held = false;
  const schedule = (kind) => {
    if (kind) news.add(kind);
    if (planned === null && !document.hidden && news.size) planned = setTimeout(redraw, document.body.dataset.ready ? REDRAW_MILLISECONDS : 50);
  };
  const redraw = () => {
    planned = null;
    if (run === null) return;
    if (held) return void schedule(); // a view that is being turned would jump back
    const fresh = (...kinds) => kinds.some((kind) => news.has(kind));
    drawTiles();
    if (fresh("start", "step", "evaluation")) drawCurves();
    if (fresh("start", "evaluation")) drawValidation();
    if (fresh("start", "snapshot")) drawForecast();
    if (fresh("start", "step", "evaluation")) drawLoad();
    if (fresh("start", "evaluation", "snapshot")) drawService();
    if (fresh("start", "step")) drawSpeed();
    news.clear();
    document.body.dataset.ready = "yes";
  };
  document.addEventListener("visibilitychange", () => schedule());
  document.addEventListener("pointerdown", (event) => (held = Boolean(event.target.closest && event.target.closest(".plot"))), true);
  for (const name of ["pointerup", "pointercancel", "blur"]) window.addEventListener(name, () => (held = false), true);

  /* Selections and zooms survive a redraw as long as the revision stays. */
  const keeping = (shape, revision = "kept") => ({ ...shape, uirevision: revision });
  const kept = (select, entries, first = null) => {
    const before = select.value;
    select.replaceChildren();
    fill(select, entries);
    if (entries.some(([value]) => String(value) === before)) select.value = before;
    else if (first !== null) select.value = first;
  };

  const prepare = () => {
    byId("title").textContent = document.title = `Training ${run.name}`;
    const counts = new Map();
    const entries = run.windows.map((window, index) => {
      counts.set(window.type, (counts.get(window.type) || 0) + 1);
      return [index, `${window.type} ${counts.get(window.type)}`];
    });
    kept(byId("window"), entries);
    kept(byId("whose"), [["", "all motion"], ...run.types.map((name) => [name, name])]);
    byId("about").textContent = described();
  };
  const described = () => `${run.parameters.toLocaleString("en")} parameters on ${run.device}, ${run.precision}; files in ${run.folder}` + (run.resumed ? `; went on from step ${run.step}` : "");

  /* ---- overview ---- */
  const clock = (seconds) => {
    if (seconds === null) return "-";
    const whole = Math.round(seconds), pad = (part) => String(part).padStart(2, "0");
    return `${Math.floor(whole / 3600)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
  };
  /* From the pace of this session, validation included. */
  const secondsLeft = () => {
    const now = steps.at(-1), first = steps.find((record) => record.step > run.step);
    if (!now || !first || now.step <= first.step) return null;
    return ((run.max_steps - now.step) * (now.elapsed - first.elapsed)) / (now.step - first.step);
  };
  const drawTiles = () => {
    const now = steps.at(-1), judged = evaluations.at(-1);
    const step = now ? now.step : run.step;
    byId("bar").max = run.max_steps;
    byId("bar").value = step;
    const tiles = [
      ["step", `${step.toLocaleString("en")} of ${run.max_steps.toLocaleString("en")}`],
      ["time so far", now ? clock(now.elapsed) : "-"],
      ["time left", ended ? ended : clock(secondsLeft())],
      ["windows a second", now ? Math.round(now.sequences_per_second).toLocaleString("en") : "-"],
      ["position error, validation", judged ? `${number(judged.metrics.position_error)} ${run.unit}` : "-"],
      ["best so far", best ? `${number(best.metrics.position_error)} ${run.unit} at ${best.step.toLocaleString("en")}` : "-"],
    ];
    byId("tiles").replaceChildren(...tiles.map(([name, value]) => {
      const tile = document.createElement("div");
      tile.appendChild(document.createElement("b")).textContent = value;
      tile.appendChild(document.createElement("span")).textContent = name;
      return tile;
    }));
  };

  /* ---- progress ---- */
  const positive = (traces) => {
    const drawn = traces.flatMap((trace) => trace.y).filter((value) => value !== null && value !== undefined);
    return drawn.length > 0 && drawn.every((value) => value > 0);
  };
  const series = (records, read, name, style) => {
    const known = records.filter((record) => typeof read(record) === "number");
    return { x: known.map((record) => record.step), y: known.map(read), name, ...style };
  };
  const share = (part) => (typeof part === "number" ? 100 * part : null); // in %
  const lineOf = (index) => ({
    mode: "lines+markers", line: { color: PALETTE[index % PALETTE.length], dash: DASHES[index % DASHES.length] }, marker: { size: 7, symbol: SYMBOLS[index % SYMBOLS.length] },
  });
  const TRAINING = { mode: "lines", line: { color: PALETTE[0], width: 1.5 } };
  const VALIDATION = { mode: "lines+markers", line: { color: PALETTE[1], dash: "dash" }, marker: { size: 7, symbol: "square" } };
  const both = (read) => [series(steps, read, "training", TRAINING), series(evaluations, read, "validation", VALIDATION)].filter((trace) => trace.x.length);
  const chart = (id, traces, title, y, { x = "step", log = false, more = {}, from = {} } = {}) => {
    const scale = log && positive(traces);
    const text = y + (scale ? ", log scale" : "");
    draw(id, traces, keeping(layout(title, x, text, {
      xaxis: { title: { text: x }, gridcolor: GRID, zeroline: false, automargin: true, rangemode: "tozero" }, showlegend: true,
      yaxis: { title: { text }, ...(scale ? logAxis(traces.flatMap((trace) => trace.y)) : { gridcolor: GRID, zeroline: false, automargin: true }), ...from }, ...more,
    }), title));
  };

  const label = (metric) => metric.replaceAll("_", " ") + (run.units[metric] ? ` (${run.units[metric]})` : "");
  const drawCurves = () => {
    const names = new Set(steps.length ? Object.keys(steps.at(-1).metrics) : []);
    if (evaluations.length) for (const name of Object.keys(evaluations.at(-1).metrics)) names.add(name);
    const offered = [...names].filter((name) => name !== "loss" && !name.includes("/"));
    if (byId("metric").length !== offered.length) kept(byId("metric"), offered.map((name) => [name, name.replaceAll("_", " ")]), "position_error");
    chart("loss", both((record) => record.metrics.final_nll ?? record.metrics.loss), "Loss: negative log-likelihood of the next points", "nats per coordinate");
    const metric = byId("metric").value;
    if (metric) chart("errors", both((record) => record.metrics[metric]), label(metric), label(metric), { log: metric.includes("error") || metric === "gn" });
  };
  const drawValidation = () => {
    const byType = run.types.map((name, index) => series(evaluations, (record) => record.metrics[`position_error/${name}`], name, lineOf(index)));
    chart("by-type", byType, "Position error by motion type, validation", run.unit, { log: true });
    const held = [series(evaluations, (record) => share(record.metrics.coverage_80), "validation", VALIDATION)];
    chart("coverage", held, "What the 80 % intervals hold", "% of true coordinates", {
      from: { range: [50, 100] },
      more: { showlegend: false, shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 80, y1: 80, line: { color: "#8C8C8C", width: 1, dash: "dot" } }] },
    });
  };

  /* ---- forecasts ---- */
  const moment = () => {
    const slider = byId("moment");
    slider.max = Math.max(0, snapshots.length - 1);
    if (following) slider.value = slider.max;
    return snapshots[Number(slider.value)];
  };
  const distances = (mean, truth) => mean.map((point, step) => Math.hypot(...range(3).map((axis) => point[axis] - truth[step][axis])));
  const drawForecast = () => {
    const snapshot = moment();
    if (!snapshot || !run.windows.length) return;
    const index = Number(byId("window").value), window = run.windows[index], now = snapshot.forecasts[index];
    byId("moment-step").textContent = snapshot.step.toLocaleString("en");
    const space = { ...scene([window.context, window.truth], 1.35), uirevision: index }; // the paths', so that it never jumps
    draw("forecast", forecastPaths({ ...window, ...now }, "forecast"), keeping(layout(`${window.type}, after step ${snapshot.step.toLocaleString("en")}`, "", "", {
      scene: space, margin: { l: 0, r: 0, t: 45, b: 0 }, legend: { orientation: "h", y: 0 },
    }), index));
    const times = now.mean.map((_, step) => (step + 1) * run.dt);
    const lines = [snapshots[0], ...(snapshots.length > 2 ? [snapshots[Math.floor(snapshots.length / 2)]] : []), snapshot]
      .filter((each, place, all) => all.indexOf(each) === place)
      .map((each, place, all) => ({
        x: times, y: distances(each.forecasts[index].mean, window.truth), name: `after step ${each.step.toLocaleString("en")}`, mode: "lines+markers",
        line: { color: each === snapshot ? FORECAST : [PALETTE[5], PALETTE[0]][place % 2], dash: each === snapshot ? "solid" : "dot", width: each === snapshot ? 3 : 1.5 },
        marker: { size: 5, symbol: SYMBOLS[all.length - 1 - place] },
      }));
    chart("window-error", lines, "Distance to the true position in this window", run.unit, { x: "time ahead (s)", log: true });
    byId("forecast-note").textContent = `Mean position error of this forecast ${number(now.error)} ${run.unit}. A validation window, the same throughout.`;
  };

  /* ---- experts ---- */
  const thinned = (records) => {
    const stride = Math.ceil(records.length / MOST_COLUMNS);
    return records.filter((_, index) => index % stride === 0);
  };
  const servedThen = () => evaluations.filter((record) => record.served.length);
  const chosen = () => {
    const known = steps.filter((record) => record.expert_load);
    for (const part of document.querySelectorAll('[data-needs="experts"]')) part.hidden = !known.length;
    if (!known.length) return null;
    const layers = known.at(-1).expert_load.length;
    if (byId("layer").length !== layers) kept(byId("layer"), range(layers).map((index) => [index, index]));
    return { known, layers, layer: Number(byId("layer").value) };
  };
  const drawLoad = () => {
    const found = chosen();
    if (!found) return;
    const { known, layers, layer } = found;
    const whose = byId("whose").value, kind = run.types.indexOf(whose);
    const over = whose === "" ? thinned(known).map((record) => [record.step, record.expert_load[layer]]) : thinned(servedThen()).map((record) => [record.step, record.served[layer][kind]]);
    const count = known.at(-1).expert_load[layer].length;
    const relative = (shares) => shares.map((part) => (part === null ? null : part * count));
    const table = range(count).map((expert) => over.map(([, shares]) => relative(shares)[expert]));
    const top = table.reduce((highest, row) => Math.max(highest, ...row), 2);
    draw("load", [{
      type: "heatmap", x: over.map(([step]) => step), y: expertNames(count), z: table, colorscale: "Cividis", zmin: 0, zmax: top,
      colorbar: { title: { text: "1 = even", side: "right" }, thickness: 14 }, hovertemplate: "step %{x}, %{y}: %{z:.2f} of an even share<extra></extra>",
    }], keeping(layout(`Layer ${layer}: load of each expert, ${whose || "all motion"}`, "step", "", { yaxis: { type: "category", autorange: "reversed", automargin: true } }), "load"));
    const busiest = range(layers).map((index) => series(known, (record) => Math.max(...record.expert_load[index]) * record.expert_load[index].length, `layer ${index}`, { ...lineOf(index), mode: "lines" }));
    chart("busiest", busiest, "Load of the busiest expert, over an even share", "1 = even", { from: { rangemode: "tozero" } });
    const now = relative(known.at(-1).expert_load[layer]);
    byId("experts-note").textContent = `Now the busiest expert of layer ${layer} has ${number(Math.max(...now), 2)} times an even share, the idlest ${number(Math.min(...now), 2)}. By type: validation windows; the slider above chooses the step.`;
  };
  const drawService = () => {
    const found = chosen(), validations = servedThen();
    if (!found || !validations.length) return;
    const { layers, layer } = found;
    const told = range(layers).map((index) => series(evaluations, (record) => share(record.metrics[`experts/type_known/layer_${index}`]), `layer ${index}`, lineOf(index)));
    chart("known", told, "What experts tell of the motion type beyond chance", "% of its entropy", { from: { rangemode: "tozero" } });
    const at = moment();
    const shown = (at && validations.find((record) => record.step === at.step)) || validations.at(-1);
    const shares = shown.served[layer];
    heat("served", `Layer ${layer} after step ${shown.step.toLocaleString("en")}: who serves whom`, shares, expertNames(shares[0].length), run.types,
      { label: "share of the type", low: 0, high: 1, text: shares.map((row) => row.map((part) => (part === null ? "" : (100 * part).toFixed(0)))), xlabel: "expert" });
  };

  /* ---- speed ---- */
  const drawSpeed = () => {
    const alone = { more: { showlegend: false }, from: { rangemode: "tozero" } };
    chart("throughput", [series(steps, (record) => record.sequences_per_second, "training", TRAINING)], "Windows a second, validation not counted", "windows a second", alone);
    chart("rate", [series(steps, (record) => record.learning_rate, "training", TRAINING)], "Learning rate", "learning rate", alone);
  };

  byId("metric").onchange = drawCurves;
  byId("window").onchange = drawForecast;
  byId("whose").onchange = drawLoad;
  byId("layer").onchange = () => {
    drawLoad();
    drawService();
  };
  byId("moment").oninput = () => {
    following = Number(byId("moment").value) === snapshots.length - 1;
    drawForecast();
    drawService();
  };
})();
