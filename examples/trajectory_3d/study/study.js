/* Draws a comparison study from the JSON in the page. Needs Plotly and Plots, and nothing from outside the page. */
"use strict";

(() => {
  const { byId, PALETTE, SYMBOLS, GRID, LOG_AXIS, layout, draw, number: shortest, fill, sentences } = Plots;
  const data = JSON.parse(byId("data").textContent);
  const MIXED = "mixed";
  const runs = new Map(data.runs.map((run) => [run.name, run]));
  const group = () => data.groups[Number(byId("group").value)];
  /* Digits that count are shown, zeros too: 1.40 is no 1.4. */
  const number = (value, digits = 3) => (value && Math.abs(value) >= 1e-4 && Math.abs(value) < 10 ** digits ? value.toPrecision(digits) : shortest(value, digits));
  const words = (name) => name.replaceAll("_", " ");

  /* ---- overview ---- */
  sentences("claims", data.claims);
  const environment = data.study.environment;
  const facts = {
    command: data.study.command,
    plan: `${data.study.plan_hash}, begun ${data.study.created}`,
    code: `commit ${environment.git_commit}, ` + Object.entries(environment.versions).map((pair) => pair.join(" ")).join(", "),
    machine: `${environment.machine}, ${data.study.threads_per_trial} threads for each trial`,
  };
  for (const [name, value] of Object.entries(facts)) {
    byId("details").appendChild(document.createElement("dt")).textContent = name;
    byId("details").appendChild(document.createElement("dd")).textContent = value;
  }
  byId("notes").textContent = data.notes.join(" ");

  /* ---- tables ---- */
  const cell = (row, content, tag = "td") => {
    const made = row.appendChild(document.createElement(tag));
    const { text, small = "", best = false } = typeof content === "object" ? content : { text: content };
    made.textContent = text;
    if (small) made.appendChild(document.createElement("small")).textContent = small;
    if (best) made.className = "best";
  };
  const table = (id, heads, rows) => {
    const made = document.createElement("table");
    const head = made.createTHead().insertRow();
    for (const name of heads) cell(head, name, "th");
    const body = made.createTBody();
    for (const { cells, baseline = false } of rows) {
      const row = body.insertRow();
      if (baseline) row.className = "baseline";
      for (const content of cells) cell(row, content);
    }
    byId(id).replaceChildren(made);
  };
  const estimate = (arm, kind, metric) => (arm.scores[kind] || {})[metric] || null;
  const ends = (found) => (found && found.low !== null ? `${number(found.low)} – ${number(found.high)}` : "");
  const finished = () => group().arms.filter((arm) => estimate(arm, MIXED, "position_error"));
  const kinds = () => [...group().types.filter((kind) => finished().some((arm) => arm.scores[kind])), MIXED];

  /* ---- styles: an arm looks the same in every plot; dense ones are hollow ---- */
  const style = (arm) => {
    const place = group().arms.findIndex((each) => each.name === arm.name);
    const symbol = SYMBOLS[place % 5];
    return { color: PALETTE[place % PALETTE.length], symbol: arm.kind === "dense" ? symbol + "-open" : symbol, dash: arm.kind === "dense" ? "dash" : "solid" };
  };
  const bars = (list) => {
    if (list.every((found) => !found || found.low === null)) return undefined;
    return {
      type: "data", symmetric: false, thickness: 1.4, width: 4,
      array: list.map((found) => (found && found.high !== null ? found.high - found.mean : 0)),
      arrayminus: list.map((found) => (found && found.low !== null ? found.mean - Math.max(found.low, 0.05 * found.mean) : 0)),
    };
  };
  const origin = (name) => {
    const run = runs.get(name);
    return `runs/${name}<br>config ${run.config_hash}, seed ${run.seed}, commit ${run.git_commit}`;
  };
  const origins = (arm) => arm.runs.slice(0, 3).map(origin).join("<br>") + (arm.runs.length > 3 ? "<br>…" : "");
  /* Logarithmic where values differ by factors; a narrow range has too few round numbers for that. */
  const axis = (text, values) => {
    const found = values.filter((value) => value !== null && value !== undefined);
    const wide = Math.min(...found) > 0 && Math.max(...found) > 4 * Math.min(...found);
    return { ...(wide ? LOG_AXIS : { gridcolor: GRID, automargin: true, zeroline: false }), title: { text } };
  };
  /* Motion types side by side, arms beside each other within one. */
  const places = (arms, index, count) => Array.from({ length: count }, (_, type) => type + 0.7 * ((index + 0.5) / arms - 0.5));
  const typeAxis = (types) => ({ tickvals: types.map((_, index) => index), ticktext: types, range: [-0.55, types.length - 0.45], gridcolor: GRID, zeroline: false, automargin: true });
  const legend = { orientation: "h", y: -0.22, font: { size: 11 } };

  /* ---- errors ---- */
  const showErrors = () => {
    const metric = byId("metric").value, arms = finished(), types = kinds();
    const theirs = (baseline, kind) => (baseline.scores[kind] || {})[metric] ?? null;
    const best = types.map((kind) => Math.min(
      ...arms.map((arm) => (estimate(arm, kind, metric) || { mean: Infinity }).mean), ...group().baselines.map((baseline) => theirs(baseline, kind) ?? Infinity),
    ));
    const isBest = (value, index) => (metric.endsWith("_error") || metric === "gn") && value === best[index];
    const rows = arms.map((arm) => ({
      cells: [
        { text: arm.label, small: arm.finished < arm.planned ? `${arm.finished} of ${arm.planned} seeds` : "" }, arm.finished,
        ...types.map((kind, index) => {
          const found = estimate(arm, kind, metric);
          return found ? { text: number(found.mean), small: ends(found), best: isBest(found.mean, index) } : "n/a";
        }),
      ],
    }));
    for (const baseline of group().baselines) {
      rows.push({ baseline: true, cells: [baseline.name + " (baseline)", "", ...types.map((kind, index) => ({ text: number(theirs(baseline, kind)), best: isBest(theirs(baseline, kind), index) }))] });
    }
    table("error-table", [words(metric), "seeds", ...types], rows);
    const traces = arms.map((arm, index) => {
      const found = types.map((kind) => estimate(arm, kind, metric));
      const { color, symbol } = style(arm);
      return {
        type: "scatter", mode: "markers", name: arm.label, x: places(arms.length, index, types.length), y: found.map((each) => (each ? each.mean : null)), error_y: bars(found),
        marker: { color, symbol, size: 9 }, text: types, hovertemplate: `%{text}: %{y:.4g}<br>${origins(arm)}<extra>${arm.label}</extra>`,
      };
    });
    for (const [index, baseline] of group().baselines.entries()) {
      traces.push({
        type: "scatter", mode: "lines", name: baseline.name, x: types.flatMap((_, type) => [type - 0.42, type + 0.42, null]),
        y: types.flatMap((kind) => [0, 1, null].map((end) => (end === null ? null : theirs(baseline, kind)))),
        line: { color: "#6b6b6b", width: 1.2, dash: ["dot", "dash", "dashdot", "longdash"][index % 4] },
      });
    }
    const shown = traces.flatMap((trace) => trace.y);
    draw("by-type", traces, layout(`${words(metric)} by motion type`, "", "", { xaxis: typeAxis(types), yaxis: axis(words(metric) + (metric === "position_error" ? " (m)" : ""), shown), legend }));
  };

  /* ---- compute ---- */
  const AGAINST = [
    ["forward_megaflops", "operations of one forecast (MFLOP)"], ["training_teraflops", "operations of the training (TFLOP)"],
    ["active_parameters", "active parameters"], ["total_parameters", "all parameters"], ["training_seconds", "training time (s)"],
    ["milliseconds_per_forecast", "time of one forecast (ms)"],
  ];
  const showCompute = () => {
    const key = byId("against").value, name = new Map(AGAINST).get(key);
    const arms = finished().filter((arm) => arm.costs[key]);
    const traces = arms.map((arm) => {
      const found = estimate(arm, MIXED, "position_error"), { color, symbol } = style(arm);
      return {
        type: "scatter", mode: "markers", name: arm.label, x: [arm.costs[key]], y: [found.mean], error_y: bars([found]),
        marker: { color, symbol, size: 12 }, hovertemplate: `%{x:.4g}, %{y:.4g} m<br>${origins(arm)}<extra>${arm.label}</extra>`,
      };
    });
    const front = [];
    for (const arm of [...arms].sort((a, b) => a.costs[key] - b.costs[key])) {
      const error = estimate(arm, MIXED, "position_error").mean;
      if (!front.length || error < front[front.length - 1][1]) front.push([arm.costs[key], error]);
    }
    if (front.length > 1) traces.unshift({ type: "scatter", mode: "lines", name: "none better in both", x: front.map((p) => p[0]), y: front.map((p) => p[1]), line: { color: "#9a9a9a", width: 1.2 } });
    draw("pareto", traces, layout("Mean position error on the test windows", name, "", { xaxis: axis(name, arms.map((arm) => arm.costs[key])), yaxis: axis("mean position error (m)", traces.flatMap((trace) => trace.y)), legend, showlegend: true }));
    const gpu = arms.some((arm) => arm.costs.peak_gpu_memory_mb !== null);
    table("cost-table",
      ["", "parameters", "active", "MFLOP / forecast", "windows seen", "TFLOP trained", "training s", "core s", "windows / s", "ms / forecast", "peak MB", ...(gpu ? ["GPU MB"] : [])],
      finished().map(({ label, costs }) => ({
        cells: [
          label, (costs.total_parameters / 1e6).toFixed(3) + " M", (costs.active_parameters / 1e6).toFixed(3) + " M", number(costs.forward_megaflops),
          costs.training_windows.toLocaleString("en"), number(costs.training_teraflops), number(costs.training_seconds, 4), number(costs.core_seconds, 4),
          number(costs.windows_per_second, 4), number(costs.milliseconds_per_forecast), number(costs.peak_memory_mb, 4), ...(gpu ? [number(costs.peak_gpu_memory_mb, 4)] : []),
        ],
      })));
  };

  /* ---- learning ---- */
  const OVER = [["1", "training windows seen"], ["0", "optimizer steps"], ["3", "seconds of training"]];
  const showCurves = () => {
    const column = Number(byId("over").value), name = new Map(OVER).get(byId("over").value);
    const traces = [];
    for (const arm of group().arms) {
      arm.runs.map((each) => runs.get(each)).filter((run) => run.curve.length).forEach((run, index) => {
        const { color, symbol, dash } = style(arm);
        traces.push({
          type: "scatter", mode: "lines+markers", name: arm.label, legendgroup: arm.name, showlegend: index === 0,
          x: run.curve.map((point) => point[column]), y: run.curve.map((point) => point[2]), line: { color, dash, width: 1.6 }, marker: { color, symbol, size: 6 },
          hovertemplate: `%{x}: %{y:.4g}<br>${origin(run.name)}<extra>${run.status}</extra>`,
        });
      });
    }
    const metrics = [...new Set(group().arms.flatMap((arm) => arm.runs.map((each) => runs.get(each).metric)))].map(words).join(" / ");
    draw("curves", traces, layout(`Validation ${metrics}`, name, "", { xaxis: axis(name, traces.flatMap((trace) => trace.x)), yaxis: axis(metrics + (metrics === "position error" ? " (m)" : ""), traces.flatMap((trace) => trace.y)), legend, showlegend: true }));
  };

  /* ---- mixture over dense ---- */
  const showRatios = () => {
    const ratios = group().ratios, types = kinds();
    table("ratio-table", ["", "active", ...types], ratios.map((ratio) => ({
      cells: [{ text: ratio.label, small: `over ${ratio.dense}, ${ratio.seeds.length} seed(s)` }, number(ratio.active_ratio), ...types.map((kind) => {
        const found = ratio.position_error[kind];
        return found ? { text: number(found.mean), small: ends(found) } : "n/a";
      })],
    })));
    const traces = ratios.map((ratio, index) => {
      const arm = group().arms.find((each) => each.name === ratio.moe), { color, symbol } = style(arm);
      const found = types.map((kind) => ratio.position_error[kind]);
      return { type: "scatter", mode: "markers", name: ratio.label, x: places(ratios.length, index, types.length), y: found.map((each) => (each ? each.mean : null)), error_y: bars(found), marker: { color, symbol, size: 10 } };
    });
    draw("ratio-plot", traces, layout("Position error, mixture / dense", "", "ratio", {
      legend, showlegend: true, xaxis: typeAxis(types), shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: "#000", width: 1, dash: "dot" } }],
    }));
  };

  /* ---- runs ---- */
  table("run-table", ["run folder", "status", "seed", "config hash", "commit", "steps", "sessions", "restarts", "training s", "machine", "versions"], data.runs.map((run) => ({
    cells: [
      { text: "runs/" + run.name, small: "" }, run.reason ? { text: run.status, small: run.reason.slice(0, 60) } : run.status, run.seed, run.config_hash ?? "n/a", run.git_commit ?? "n/a",
      `${run.step} / ${run.max_steps}`, run.sessions, run.restarts, number(run.training_seconds, 4), run.machine ? `${run.machine}, ${run.device}` : "n/a",
      run.versions ? Object.entries(run.versions).map((pair) => pair.join(" ")).join(", ") : "n/a",
    ],
  })));

  /* ---- wiring ---- */
  const ratiosAnywhere = data.groups.some((each) => each.ratios.length);
  if (!ratiosAnywhere) for (const part of document.querySelectorAll('[data-needs="ratios"]')) part.remove();
  const showGroup = () => {
    const metrics = [...new Set(finished().flatMap((arm) => Object.keys(arm.scores[MIXED])))];
    const kept = byId("metric").value;
    byId("metric").replaceChildren();
    fill(byId("metric"), metrics.map((name) => [name, words(name)]));
    byId("metric").value = metrics.includes(kept) ? kept : "position_error";
    showErrors();
    showCompute();
    showCurves();
    if (ratiosAnywhere) showRatios();
  };
  fill(byId("group"), data.groups.map((each, index) => [String(index), (data.groups.length > 1 ? `${index + 1}: ` : "") + each.description])).onchange = showGroup;
  byId("metric").onchange = showErrors;
  fill(byId("against"), AGAINST).onchange = showCompute;
  fill(byId("over"), OVER).onchange = showCurves;
  showGroup();
})();
