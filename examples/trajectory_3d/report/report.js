/* Draws the report from the JSON in the page. Needs Plotly and Plots, and nothing from outside the page. */
"use strict";

(() => {
  const {
    byId, PALETTE, DASHES, SYMBOLS, FORECAST, RIVAL, GRID, logAxis, PURPLE_ORANGE, layout, draw, number, fixed, percent,
    range, fill, sentences, useUnit, path3d, strung, scene, forecastPaths, heat, expertNames,
  } = Plots;
  const data = JSON.parse(byId("data").textContent);

  /* ---- overview ---- */
  byId("title").textContent = data.title;
  sentences("claims", data.claims);
  for (const [name, value] of Object.entries(data.details)) {
    byId("details").appendChild(document.createElement("dt")).textContent = name;
    byId("details").appendChild(document.createElement("dd")).textContent = value;
  }
  if (!data.experts) for (const part of document.querySelectorAll('[data-needs="experts"]')) part.remove();

  /* ---- forecasts ---- */
  const scores = data.scores;
  useUnit(scores.unit);
  const subject = scores.forecasters[0];
  const types = Object.keys(subject.groups).filter((name) => name !== "mixed");
  let shownCase = null;

  const showCase = (item) => {
    shownCase = item;
    for (const entry of byId("case-list").children) {
      const chosen = Number(entry.dataset.window) === item.window;
      entry.setAttribute("aria-selected", chosen);
      if (chosen) entry.scrollIntoView({ block: "nearest" });
    }
    const traces = forecastPaths(item, subject.name, data.rival);
    draw("case-3d", traces, layout(`${item.type}, window ${item.window}: ${item.place} of its type`, "", "", {
      scene: scene([item.context, item.truth, item.mean]), margin: { l: 0, r: 0, t: 45, b: 0 }, legend: { orientation: "h", y: 0 },
    }));
    const served = item.experts
      ? " Experts by layer: " + item.experts.map((layer) => layer.experts.map((expert, k) => `${expert} (${percent(layer.weights[k])})`).join(" + ")).join("; ") + "."
      : "";
    byId("case-note").textContent = `Mean position error ${number(item.error)} ${scores.unit}.` + served;
    const times = item.errors.map((_, step) => (step + 1) * scores.dt);
    const lines = [{ x: times, y: item.errors, name: subject.name, mode: "lines+markers", line: { color: FORECAST, dash: "dash" } }];
    if (item.rival) lines.push({ x: times, y: item.rival.errors, name: data.rival, mode: "lines", line: { color: RIVAL, dash: "dot" } });
    draw("case-error", lines, layout("Distance to the true position", "time ahead (s)", scores.unit, {
      yaxis: { title: { text: scores.unit }, rangemode: "tozero", gridcolor: GRID, automargin: true }, margin: { l: 60, r: 15, t: 35, b: 60 }, legend: { orientation: "h", y: -0.5 },
    }));
  };

  const listCases = () => {
    const kind = byId("case-type").value;
    const list = byId("case-list");
    list.replaceChildren();
    const shown = data.cases.filter((item) => kind === "" || item.type === kind);
    for (const item of shown) {
      const entry = list.appendChild(document.createElement("li"));
      entry.dataset.window = item.window;
      entry.appendChild(document.createElement("span")).textContent = `${item.type}, ${item.place}`;
      const error = entry.appendChild(document.createElement("span"));
      error.className = "number";
      error.textContent = number(item.error) + " " + scores.unit;
      entry.onclick = () => showCase(item);
    }
    if (shown.length) showCase(shown[0]);
  };
  fill(byId("case-type"), [["", "all"], ...types.map((name) => [name, name])]).onchange = listCases;
  byId("case-list").onkeydown = (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const kind = byId("case-type").value;
    const shown = data.cases.filter((item) => kind === "" || item.type === kind);
    const next = shown[shown.indexOf(shownCase) + move];
    if (next) showCase(next);
  };

  /* ---- skill ---- */
  const specs = new Map(scores.metrics.map((spec) => [spec.name, spec]));
  const groups = Object.keys(subject.groups);
  const value = (group, metric) => (metric === "gn" ? group.gn : group.metrics[metric]);
  const interval = (group, metric) => ({ gn: group.gn_interval, position_error: group.position_error_interval })[metric] || null;

  const drawByType = () => {
    const metric = byId("metric").value;
    const spec = metric === "gn" ? { unit: "", better: "lower", description: "Position error over the spread of the context, geometric mean over windows." } : specs.get(metric);
    const traces = scores.forecasters.map((one, index) => {
      const values = groups.map((name) => value(one.groups[name], metric));
      const ends = groups.map((name) => interval(one.groups[name], metric));
      const trace = { type: "bar", name: one.name, x: groups, y: values, marker: { color: PALETTE[index % PALETTE.length], pattern: { shape: ["", "/", ".", "x", "\\", "+"][index % 6], fillmode: "overlay", fgcolor: "#ffffff", fgopacity: 0.6, solidity: 0.2 } } };
      if (ends.some((end) => end)) {
        trace.error_y = { type: "data", symmetric: false, array: ends.map((end, i) => (end ? end[1] - values[i] : 0)), arrayminus: ends.map((end, i) => (end ? values[i] - end[0] : 0)), thickness: 1, width: 2 };
      }
      return trace;
    });
    const drawn = traces.flatMap((trace) => trace.y).filter((y) => y !== null);
    const scale = drawn.every((y) => y > 0) && Math.max(...drawn) > 20 * Math.min(...drawn) ? "log" : "linear";
    const label = metric.replaceAll("_", " ") + (spec.unit ? ` (${spec.unit})` : "");
    draw("by-type", traces, layout(`${label} by motion type`, "", label + (scale === "log" ? ", log scale" : ""), { barmode: "group", yaxis: { title: { text: label }, ...(scale === "log" ? logAxis(drawn) : { gridcolor: GRID, automargin: true }) } }));
    byId("metric-note").textContent = `${label}: ${spec.description.replace(/\.$/, "")}. ${spec.better === "neither" || !spec.better ? "" : spec.better + " is better."} Bars span 95 % bootstrap intervals where stated.`;
  };

  const drawByStep = () => {
    const group = byId("step-group").value;
    const times = range(scores.horizon).map((step) => (step + 1) * scores.dt);
    const traces = scores.forecasters.map((one, index) => ({
      x: times, y: one.groups[group].error_per_step, name: one.name, mode: "lines+markers",
      line: { color: PALETTE[index % PALETTE.length], dash: DASHES[index % DASHES.length] }, marker: { size: 5, symbol: SYMBOLS[index % 5] },
    }));
    draw("by-step", traces, layout(`Mean distance to the true position, ${group}`, "time ahead (s)", `${scores.unit}, log scale`, { yaxis: { title: { text: `${scores.unit}, log scale` }, ...logAxis(traces.flatMap((trace) => trace.y)) } }));
  };

  fill(byId("metric"), [["gn", "gn"], ...scores.metrics.map((spec) => [spec.name, spec.name.replaceAll("_", " ")])]).onchange = drawByType;
  byId("metric").value = "position_error";
  fill(byId("step-group"), groups.map((name) => [name, name])).onchange = drawByStep;
  byId("step-group").value = "mixed";

  /* ---- calibration ---- */
  const drawCalibration = () => {
    const stated = scores.forecasters.filter((one) => one.groups.mixed.distribution);
    if (!stated.length) {
      byId("calibration").remove();
      return;
    }
    const steps = range(scores.horizon).map((step) => step + 1);
    const lines = [];
    stated.forEach((one, index) => {
      const levels = one.groups.mixed.distribution.coverage_per_step;
      Object.keys(levels).sort((a, b) => b - a).forEach((level, place) => {
        lines.push({ x: steps, y: levels[level].map((share) => 100 * share), name: `${one.name}, ${level} %`, mode: "lines+markers", line: { color: PALETTE[index % PALETTE.length], dash: DASHES[place] }, marker: { size: 5, symbol: SYMBOLS[place] } });
      });
    });
    const nominal = [50, 80, 95].map((level) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: "#8C8C8C", width: 1, dash: "dot" } }));
    draw("coverage", lines, layout("What the intervals hold, by step", "forecast step", "% of true coordinates", { shapes: nominal, yaxis: { title: { text: "% of true coordinates" }, range: [30, 100], gridcolor: GRID, automargin: true } }));
    const ranked = stated.filter((one) => one.groups.mixed.distribution.ranks);
    const bars = ranked.map((one, index) => {
      const shares = one.groups.mixed.distribution.ranks.shares;
      return { type: "bar", name: one.name, x: shares.map((_, bin) => (bin + 0.5) / shares.length), y: shares.map((share) => share * shares.length), marker: { color: PALETTE[index % PALETTE.length] } };
    });
    draw("ranks", bars, layout("Where the truth falls in the forecast distribution", "rank, 0 to 1", "frequency, 1 is calibrated", { bargap: 0.06, shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: "#8C8C8C", width: 1, dash: "dot" } }] }));
    const ranks = subject.groups.mixed.distribution && subject.groups.mixed.distribution.ranks;
    byId("calibration-note").textContent = ranks
      ? `Calibrated forecasts lie on the dotted lines. ${percent(ranks.unevenness, 1)} of ${subject.name}'s ranks are in a wrong bin; ranks from ${ranks.source}.`
      : "Calibrated forecasts lie on the dotted lines.";
  };

  /* ---- experts ---- */
  const table = (id, rows) => {
    rows.forEach((cells, index) => {
      const row = byId(id).insertRow();
      for (const cell of cells) row.appendChild(document.createElement(index ? "td" : "th")).textContent = cell;
    });
  };
  const layerNumber = () => Number(byId("layer").value);

  const drawSpecialisation = () => {
    const question = byId("question").value, measure = byId("measure").value;
    const table = data.experts.layers[layerNumber()].specialisations[question];
    const count = table.counts[0].length;
    const shares = measure === "shares";
    const z = shares ? table.shares : table.lift.map((row) => row.map((lift) => (lift === null ? null : Math.log2(Math.max(lift, 1 / 16)))));
    const text = shares ? table.shares.map((row) => row.map((share) => (share === null ? "" : (100 * share).toFixed(0)))) : table.lift.map((row) => row.map((lift) => (lift === null ? "" : "x" + number(lift, 2))));
    heat("specialisation", `Layer ${layerNumber()}: who serves which ${question}`, z, expertNames(count), table.groups,
      shares ? { label: "share", low: 0, high: 1, text, xlabel: "expert" } : { label: "log2 lift", low: -4, high: 4, middle: 0, text, scale: PURPLE_ORANGE, xlabel: "expert" });
    byId("specialisation-note").textContent =
      `Of what there is to know of the ${question}, the chosen expert says ${percent(table.explained, 1)} ` +
      `(${number(table.information_bits)} bits; chance would give ${number(table.chance_bits, 2)}; p ${table.p_value < 1e-6 ? "< 0.000001" : "= " + number(table.p_value, 2)}, tokens taken as independent).`;
  };

  const drawPaths = () => {
    const layer = layerNumber();
    const traces = new Map();
    for (const path of data.experts.paths) {
      const expert = path.experts[layer];
      if (!traces.has(expert)) traces.set(expert, []);
      traces.get(expert).push(path.points);
    }
    const lines = [...traces.keys()].sort((a, b) => a - b).map((expert) => ({
      ...path3d(strung(traces.get(expert)), "e" + expert, { line: { color: PALETTE[expert % PALETTE.length], width: 3, dash: DASHES[Math.floor(expert / PALETTE.length) % DASHES.length] } }),
      hovertemplate: "expert " + expert + "<extra></extra>",
    }));
    const all = data.experts.paths.map((path) => path.points);
    const shape = scene(all, 1.3);
    for (const [name, text] of [["xaxis", "along the motion"], ["yaxis", "second axis"], ["zaxis", "third axis"]]) shape[name].title.text = text;
    draw("by-expert", lines, layout(`Layer ${layer}: paths in the model's frame, by leading expert`, "", "", { scene: shape, margin: { l: 0, r: 0, t: 45, b: 0 }, legend: { orientation: "h", y: 0 } }));
  };

  const drawLoads = () => {
    const layers = data.experts.layers;
    const count = layers[0].load.length;
    heat("load", "Load of each expert, relative to an even share", layers.map((layer) => layer.load.map((share) => share * count)), expertNames(count), layers.map((_, i) => "layer " + i),
      { label: "1 = even", low: 0, high: Math.max(2, ...layers.flatMap((layer) => layer.load.map((share) => share * count))), text: layers.map((layer) => layer.load.map((share) => number(share * count, 2))), xlabel: "expert" });
    const questions = Object.keys(layers[0].specialisations);
    const known = layers.map((layer) => questions.map((name) => 100 * layer.specialisations[name].explained));
    heat("information", "What the chosen expert says of its token", known, questions, layers.map((_, i) => "layer " + i),
      { label: "% of the entropy", low: 0, high: Math.max(10, ...known.flat()), text: known.map((row) => row.map((share) => share.toFixed(0))), xlabel: "" });
  };

  const drawTogether = () => {
    const layer = data.experts.layers[layerNumber()];
    if (!layer.together_shares) return void byId("together")?.remove();
    const shares = layer.together_shares, names = expertNames(shares.length);
    heat("together", `Layer ${layerNumber()}: which experts serve one token together`, shares, names, names,
      { label: "share", low: 0, high: 1, text: shares.map((row) => row.map((share) => (share === null ? "" : (100 * share).toFixed(0)))), xlabel: "also serves", ylabel: "tokens of" });
  };

  const drawSuccession = () => {
    const tables = data.experts.successions;
    const layer = Math.min(layerNumber(), tables.length - 1);
    if (layer < 0) return void byId("succession")?.remove();
    const table = tables[layer];
    heat("succession", `Best expert of layer ${layer}, and of layer ${layer + 1} after it`, table.shares, expertNames(table.counts[0].length), table.groups,
      { label: "share", low: 0, high: 1, text: table.shares.map((row) => row.map((share) => (share === null ? "" : (100 * share).toFixed(0)))), xlabel: `expert of layer ${layer + 1}` });
  };

  const byTypeAndLayer = (id, title, unit, read, hover) => {
    const names = data.experts.types;
    const traces = data.experts.layers.map((layer, index) => ({
      x: names, y: read(layer), name: "layer " + index, mode: "lines+markers",
      line: { color: PALETTE[index % PALETTE.length], dash: DASHES[index % DASHES.length] }, marker: { size: 8, symbol: SYMBOLS[index % SYMBOLS.length] },
      text: names.map((_, i) => hover(layer, i)), hovertemplate: "%{x}: %{text}<extra></extra>",
    }));
    draw(id, traces, layout(title, "", unit, { showlegend: true }));
  };
  const drawConfidence = () => {
    byTypeAndLayer("stability", `Tokens that keep their best expert under ${percent(data.experts.noise_share)} noise`, "%",
      (layer) => layer.stability_by_type.map((share) => 100 * share), (layer, i) => percent(layer.stability_by_type[i], 1));
    byTypeAndLayer("confidence", "How sure the router is: probability of the best expert", "mean over tokens",
      (layer) => layer.top_probability_by_type, (layer, i) => `${number(layer.top_probability_by_type[i], 2)}, entropy ${number(layer.entropy_by_type[i], 2)} nats`);
  };

  /* ---- worth ---- */
  const drawWorth = () => {
    const lesions = data.experts.lesions, layer = layerNumber();
    const harm = lesions.harm[layer], served = lesions.served[layer];
    const reach = Math.max(1, ...harm.flat().map((share) => Math.abs(100 * share)));
    heat("harm", `Growth of the error without an expert of layer ${layer}`, harm.map((row) => row.map((share) => 100 * share)), lesions.groups, harm.map((_, expert) => "without e" + expert),
      { label: "%", low: -reach, high: reach, middle: 0, text: harm.map((row) => row.map((share) => fixed(100 * share, 1))), scale: PURPLE_ORANGE });
    const traces = lesions.groups.map((name, index) => ({
      x: served.map((row) => 100 * row[index]), y: harm.map((row) => 100 * row[index]), name, mode: "markers",
      marker: { color: PALETTE[index % PALETTE.length], symbol: SYMBOLS[index % SYMBOLS.length], size: 9 }, text: served.map((_, expert) => "expert " + expert), hovertemplate: "%{text}: serves %{x:.0f} %, harm %{y:.1f} %<extra>" + name + "</extra>",
    }));
    draw("agreement", traces, layout("Served, and missed", "% of the type's windows that the expert serves", "growth of the error, %"));
    const rank = lesions.agreement[layer];
    byId("worth-note").textContent = rank === null ? "Serving or harm never varies in this layer." : `Rank correlation of serving a type and being missed by it in layer ${layer}: ${rank.toFixed(2)}.`;
  };

  const drawLayer = () => {
    drawSpecialisation();
    drawPaths();
    drawTogether();
    drawSuccession();
    drawWorth();
  };

  listCases();
  drawByType();
  drawByStep();
  drawCalibration();
  if (data.experts) {
    sentences("expert-claims", data.experts.claims);
    table("overview-table", data.experts.overview);
    fill(byId("layer"), data.experts.layers.map((_, index) => [index, index]));
    const known = data.experts.layers.map((layer) => layer.specialisations["motion type"].explained);
    byId("layer").value = known.indexOf(Math.max(...known));
    fill(byId("question"), Object.keys(data.experts.layers[0].specialisations).map((name) => [name, name]));
    byId("layer").onchange = drawLayer;
    byId("question").onchange = byId("measure").onchange = drawSpecialisation;
    drawLayer();
    drawLoads();
    drawConfidence();
  }
  document.body.dataset.ready = "yes";
})();
