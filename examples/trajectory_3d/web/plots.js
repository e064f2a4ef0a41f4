/* What all pages draw with: colours, layouts, paths in space, tables as colours. Needs Plotly. */
"use strict";

const Plots = (() => {
  const byId = (id) => document.getElementById(id);

  // Okabe and Ito (2008): told apart with every common kind of colour vision.
  const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const SYMBOLS = ["circle", "square", "diamond", "cross", "x", "circle-open", "square-open", "diamond-open"];
  const OBSERVED = "#8C8C8C", TRUTH = "#000000", FORECAST = "#D55E00", RIVAL = "#0072B2", SAMPLE = "#E69F00";
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const GRID = "#e3e6ec";
  const PURPLE_ORANGE = [[0, "#542788"], [0.25, "#998ec3"], [0.5, "#f7f7f7"], [0.75, "#f1a340"], [1, "#b35806"]];
  const LOG_AXIS = { type: "log", dtick: "D2", tickformat: "~g", gridcolor: GRID, automargin: true };

  /* The same, with a label at every digit where values span less than a decade. */
  const logAxis = (values) => {
    const known = values.filter((value) => value > 0);
    return { ...LOG_AXIS, dtick: Math.max(...known) < 10 * Math.min(...known) ? "D1" : "D2" };
  };

  const layout = (title, x, y, more = {}) => ({
    title: { text: title, font: { size: 13.5 }, x: 0.01, xanchor: "left", xref: "container" },
    margin: { l: 60, r: 15, t: 45, b: 50 },
    font: { family: "system-ui, Segoe UI, Roboto, sans-serif", size: 12, color: "#1d2433" },
    paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff",
    xaxis: { title: { text: x }, gridcolor: GRID, zeroline: false, automargin: true },
    yaxis: { title: { text: y }, gridcolor: GRID, zeroline: false, automargin: true },
    legend: { orientation: "h", y: -0.28, font: { size: 11 } },
    ...more,
  });
  const draw = (id, traces, shape) => Plotly.react(byId(id), traces, shape, CONFIG);
  const number = (value, digits = 3) => (value === null || value === undefined ? "n/a" : Number(value.toPrecision(digits)).toString());
  const fixed = (value, digits) => (Number(value.toFixed(digits)) || 0).toFixed(digits); // no -0.0
  const percent = (value, digits = 0) => (value === null || value === undefined ? "n/a" : (100 * value).toFixed(digits) + " %");
  const column = (rows, index) => rows.map((row) => row[index]);
  const range = (count) => Array.from({ length: count }, (_, index) => index);

  const fill = (select, entries) => {
    for (const [value, text] of entries) select.add(new Option(text, value));
    return select;
  };
  const sentences = (id, lines) => {
    for (const line of lines) byId(id).appendChild(document.createElement("li")).textContent = line;
  };

  let unit = "m"; // of positions
  const useUnit = (text) => (unit = text);

  const path3d = (points, name, style) => ({
    type: "scatter3d", name, x: column(points, 0), y: column(points, 1), z: column(points, 2), mode: "lines",
    hovertemplate: "%{x:.3f}, %{y:.3f}, %{z:.3f} " + unit + "<extra>" + name + "</extra>", ...style,
  });

  /* Intervals as one line with gaps: a cross of three bars at every forecast point. */
  const crosses = (low, high, centre) => {
    const points = [];
    low.forEach((lowest, step) => {
      for (const axis of range(3)) {
        const from = [...centre[step]], to = [...centre[step]];
        from[axis] = lowest[axis];
        to[axis] = high[step][axis];
        points.push(from, to, [null, null, null]);
      }
    });
    return points;
  };

  /* Samples of the forecast as one line with gaps, each from the first forecast point on. */
  const strung = (paths) => paths.flatMap((path) => [...path, [null, null, null]]);

  /* A cube around all points: a metre is equally long on every axis, a flat path still has room. */
  const scene = (groups, distance = 1) => {
    const points = groups.flat();
    const low = range(3).map((axis) => Math.min(...column(points, axis)));
    const high = range(3).map((axis) => Math.max(...column(points, axis)));
    const longest = Math.max(...range(3).map((axis) => high[axis] - low[axis]), 1e-9);
    const half = range(3).map((axis) => 0.54 * Math.max(high[axis] - low[axis], 0.35 * longest));
    const middle = range(3).map((axis) => 0.5 * (low[axis] + high[axis]));
    const axis = (index, name) => ({
      title: { text: `${name} (${unit})` }, range: [middle[index] - half[index], middle[index] + half[index]],
      backgroundcolor: "#ffffff", gridcolor: GRID, showspikes: false,
    });
    const top = Math.max(...half);
    const away = distance * (0.85 + (0.45 * half[2]) / top); // a high box needs more room than a flat one
    return {
      xaxis: axis(0, "x"), yaxis: axis(1, "y"), zaxis: axis(2, "z"), aspectmode: "manual",
      aspectratio: { x: (1.25 * half[0]) / top, y: (1.25 * half[1]) / top, z: (1.25 * half[2]) / top },
      camera: { eye: { x: 0.95 * away, y: -1.2 * away, z: 0.6 * away }, center: { x: 0, y: 0, z: -0.13 * away } },
    };
  };

  /* One forecast in space. Shown where given: possible paths, interval, and a rival's forecast. */
  const forecastPaths = (item, name, rival = "") => {
    const traces = [];
    if (item.samples) traces.push(path3d(strung(item.samples), "possible paths", { line: { color: SAMPLE, width: 1.5 }, opacity: 0.55 }));
    if (item.low) traces.push(path3d(crosses(item.low, item.high, item.mean), "80 % interval per axis", { line: { color: FORECAST, width: 2 }, opacity: 0.45 }));
    traces.push(path3d(item.context, "observed", { mode: "markers", marker: { color: OBSERVED, size: 2.5 } }));
    traces.push(path3d(item.truth, "true path", { line: { color: TRUTH, width: 6 } }));
    if (item.rival) traces.push(path3d(item.rival.mean, rival, { line: { color: RIVAL, width: 4, dash: "dot" } }));
    traces.push(path3d(item.mean, name, { mode: "lines+markers", line: { color: FORECAST, width: 5, dash: "dash" }, marker: { color: FORECAST, size: 3 } }));
    return traces;
  };

  const heat = (id, title, z, x, y, { label, low = null, high = null, middle = null, xlabel = "", ylabel = "", text = null, scale = "Cividis" }) =>
    draw(id, [{ type: "heatmap", z, x, y, colorscale: scale, zmin: low, zmax: high, zmid: middle, text, texttemplate: text ? "%{text}" : "", hovertemplate: "%{y}, %{x}: %{z:.3g}<extra></extra>", colorbar: { title: { text: label, side: "right" }, thickness: 14 }, xgap: 1, ygap: 1 }],
      layout(title, xlabel, ylabel, { yaxis: { title: { text: ylabel }, autorange: "reversed", automargin: true, type: "category" }, xaxis: { title: { text: xlabel }, type: "category", automargin: true } }));
  const expertNames = (count) => range(count).map((expert) => "e" + expert);

  return {
    byId, PALETTE, DASHES, SYMBOLS, FORECAST, RIVAL, GRID, LOG_AXIS, logAxis, PURPLE_ORANGE, layout, draw, number, fixed, percent,
    range, fill, sentences, useUnit, path3d, strung, scene, forecastPaths, heat, expertNames,
  };
})();
