/* What the page says in words and numbers about a forecast. */

import { range } from "./geometry.js";
import { channelNames } from "./paths.js";

export const byId = (id) => document.getElementById(id);
export const brief = (value, digits = 3) => (Number.isFinite(value) ? Number(value.toPrecision(digits)).toString() : "–");
export const counted = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });

/* Distances between a forecast and the truth, as far as both go; what the interval holds of the truth's coordinates. */
const judged = ({ points, quantiles }, truth) => {
  const steps = range(Math.min(points.length, truth.length));
  const distances = steps.map((step) => Math.hypot(...points[step].map((value, axis) => value - truth[step][axis])));
  const inside = steps.flatMap((step) => truth[step].map((value, axis) => value >= quantiles["0.1"][step][axis] && value <= quantiles["0.9"][step][axis]));
  const mean = distances.reduce((sum, each) => sum + each, 0) / distances.length;
  return { mean, last: distances.at(-1), held: inside.filter(Boolean).length / inside.length };
};

export const summarise = (reply, { observed, truth, dt, unit, left }) => {
  const end = reply.points.at(-1), names = channelNames(end.length), of = unit ? ` ${unit}` : "";
  const time = dt === null ? "" : ` (${brief(reply.points.length * dt)} s)`;
  const ends = end.length <= 3 ? ` ending at ${names.map((name, axis) => `${name} ${brief(end[axis])}`).join(", ")}${of}` : "";
  const sentences = [`${counted(reply.points.length, "point")} ahead${time} from ${counted(observed, "observed point")},${ends || " as shown"}.`];
  if (left) sentences.push(`The last ${left} observed ones are shown.`);
  if (truth.length) {
    const { mean, last, held } = judged(reply, truth);
    sentences.push(`Distance to the true path: ${brief(mean, 2)}${of} on average, ${brief(last, 2)}${of} at the end; the 80 % interval holds ${Math.round(100 * held)} % of the true coordinates.`);
  }
  return sentences.join(" ");
};

export const drawCost = (reply, { roundTrip, observed }) => {
  const { total_ms: total, queue_ms: queue, first_step_ms: first } = reply.timing;
  const session = reply.session;
  const tiles = [
    ["in the server", `${brief(total)} ms`],
    ["of it, waiting", `${brief(queue, 2)} ms`],
    ["until its first step", `${brief(first)} ms`],
    ["forecast points a second", brief(reply.steps_per_second)],
    ["passes of the model", brief(reply.model_steps)],
    ["points read before", `${brief(reply.reused_prefix_length, 6)} / ${brief(session ? session.context_points : observed, 6)}`],
    ...(roundTrip === null ? [] : [["seen from here", `${brief(roundTrip)} ms`]]),
  ];
  byId("cost").replaceChildren(...tiles.map(([name, value]) => {
    const tile = document.createElement("div");
    tile.append(element("dt", name), element("dd", value));
    return tile;
  }));
};

/* The forecast as rows: step, seconds, then value, low and high of every coordinate. */
export const tableOf = (reply, dt) => {
  const names = channelNames(reply.points[0].length);
  const header = ["step", ...(dt === null ? [] : ["seconds"]), ...names, ...names.flatMap((name) => [`${name} 10 %`, `${name} 90 %`])];
  const rows = reply.points.map((point, step) => [
    step + 1, ...(dt === null ? [] : [Number(((step + 1) * dt).toPrecision(6))]), ...point,
    ...names.flatMap((_, axis) => [reply.quantiles["0.1"][step][axis], reply.quantiles["0.9"][step][axis]]),
  ]);
  return { header, rows };
};

export const drawTable = (table, { header, rows }) => {
  const row = (cells, name) => {
    const made = document.createElement("tr");
    made.append(...cells.map((cell) => element(name, typeof cell === "number" ? (Number.isInteger(cell) ? cell : cell.toFixed(5)) : cell)));
    return made;
  };
  const head = document.createElement("thead"), body = document.createElement("tbody");
  const titles = row(header, "th");
  for (const title of titles.children) title.scope = "col";
  head.append(titles);
  body.append(...rows.map((cells) => row(cells, "td")));
  table.replaceChildren(head, body);
};
