/* The page: a path, its forecast, and what that took. Everything comes from the server of this page. */

import { ask, useKey } from "./api.js";
import { Channels } from "./channels.js";
import { drawExperts } from "./experts.js";
import { Player } from "./player.js";
import { writeTable } from "./paths.js";
import { Sources } from "./sources.js";
import { View } from "./view.js";
import { brief, byId, counted, drawCost, drawTable, summarise, tableOf } from "./words.js";

const WAIT = 120; // milliseconds after a slider's last move
const AGAIN = 1000; // milliseconds until a server that is loading is asked again
const SAMPLES = 24;
const MOST_HORIZON = 128;
const FEWEST_SHOWN = 160; // observed points, and at least four horizons
const UNTIMED = 0.02; // seconds between played points that came without times

const LEGEND = [
  ["observed", "observed", true],
  ["truth", "true path", true],
  ["forecast", "forecast", true],
  ["fan", "80 % interval", true],
  ["samples", "possible paths", false],
];

let model, view, sources, player;
let path = null; // what is forecast: see sources.js
let reply = null; // the server's last answer, and what it was about
let seed = 1;

/* ---- words to the user ---- */
const say = (state, text) => {
  byId("status").dataset.state = state;
  byId("status").textContent = text;
};
const alert = (message) => {
  byId("alert").hidden = message === "";
  byId("alert").textContent = message;
};
const failed = (error) => {
  if (error.status === 401) byId("key-form").hidden = false;
  alert(error.message);
};

/* ---- what is asked ---- */
const value = (id) => Number(byId(id).value);
const wish = () => ({
  horizon: value("horizon"),
  temperature: value("temperature"),
  num_samples: byId("show-samples").checked ? Math.min(SAMPLES, model.limits.samples) : null,
  quantiles: [0.1, 0.5, 0.9],
  seed,
  return_routing: true,
});

let timer = 0, running = null;
const refresh = (wait = WAIT) => {
  clearTimeout(timer);
  if (player.state === "stopped") timer = setTimeout(forecast, wait);
};
const forecast = async () => {
  if (running) running.abort(); // the server drops what nobody waits for
  const mine = (running = new AbortController()), asked = performance.now(), now = value("now"), of = path;
  document.body.dataset.state = "asking";
  try {
    const answer = await ask("/v1/forecast", { body: { points: of.points.slice(0, now), ...wish() }, signal: mine.signal });
    if (mine !== running || player.state !== "stopped") return;
    alert("");
    show(answer, now, performance.now() - asked);
    document.body.dataset.state = "shown";
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    failed(error);
    document.body.dataset.state = "failed";
  }
};

/* ---- what is shown ---- */
/* How the path went on: as the source knows it, else as it was observed. */
const truthAfter = (now, horizon) => {
  const { points, truth, known } = path;
  if (!truth) return points.slice(now, now + horizon);
  return [...points.slice(now, known), ...truth.slice(Math.max(now - known, 0))].slice(0, horizon);
};
const show = (answer, now, roundTrip = null) => {
  reply = { answer, dt: path.dt };
  const live = player.state !== "stopped";
  const most = Math.max(FEWEST_SHOWN, 4 * answer.points.length), first = Math.max(0, now - most);
  const observed = path.points.slice(first, now), truth = truthAfter(now, answer.points.length);
  const low = answer.quantiles["0.1"], high = answer.quantiles["0.9"];
  const frame = live ? path.points.slice(first, now + 4 * most) : [...observed, ...truth, ...answer.points, ...(path.dims > 3 ? [] : near(low, high, observed))];
  view.show({ dims: path.dims, observed, truth, forecast: answer.points, low, high, samples: answer.samples || null, frame, dt: path.dt, unit: path.unit });
  byId("summary").textContent = summarise(answer, { observed: now, truth, dt: path.dt, unit: path.unit, left: first > 0 ? observed.length : 0 });
  drawCost(answer, { roundTrip, observed: now });
  drawExperts(byId("experts"), answer.routing);
  if (byId("numbers").open) drawTable(byId("forecast"), tableOf(answer, path.dt));
};
/* The ends of the interval, unless it is much larger than the path: it may leave the picture then. */
const near = (low, high, observed) => {
  const ends = [low.at(-1), high.at(-1)];
  const size = (points) => Math.max(...points[0].map((_, axis) => Math.max(...points.map((point) => point[axis])) - Math.min(...points.map((point) => point[axis]))));
  return size(ends) < 1.5 * size(observed) ? ends : [];
};

const labels = () => {
  const now = value("now"), horizon = value("horizon"), temperature = value("temperature");
  const seconds = (points) => (path && path.dt !== null ? `, ${brief(points * path.dt)} s` : "");
  const told = (id, text) => {
    byId(`${id}-text`).textContent = text;
    byId(id).setAttribute("aria-valuetext", text);
  };
  told("now", path ? `${now} of ${counted(path.points.length, "point")}` : "");
  const rolled = horizon > model.steps_per_pass; // what comes of own forecasts is less certain than it says
  told("horizon", `${counted(horizon, "point")}${seconds(horizon)}${rolled ? `; rolled on after ${model.steps_per_pass}` : ""}`);
  told("temperature", temperature === 0 ? "0, the centre" : `${temperature}, a path that is drawn`);
  byId("redraw").disabled = temperature === 0 && !byId("show-samples").checked;
};

const choose = (chosen) => {
  player.stop();
  path = { ...chosen, dims: model.input_dim };
  byId("now").min = Math.min(2, path.points.length);
  byId("now").max = path.points.length;
  byId("now").value = path.now;
  byId("stage-title").textContent = `${path.title}, forecast`;
  labels();
  changedPlay();
  refresh(0);
};

/* ---- played ---- */
let anchors = 0; // taken anew since it plays
const atEnd = () => value("now") === path.points.length && path.now < path.points.length; // after playing
const playOrHold = () => {
  if (player.state === "playing") return player.hold();
  if (player.state === "held") return player.goOn();
  clearTimeout(timer);
  if (running) running.abort();
  alert("");
  anchors = 0;
  byId("anchors").textContent = "";
  if (!atEnd()) path.now = value("now");
  player.play({ points: path.points, dt: path.dt ?? UNTIMED }, path.now, value("pace"));
};
const pushed = (answer, points, together) => {
  alert("");
  byId("now").value = points;
  labels();
  const { session } = answer;
  const push = together === 1 ? "one in the last push" : `${together} in the last push`;
  byId("live").textContent = `${points} of ${path.points.length} points pushed, ${push}; forecast from the last ${session.context_points}, normalised by ${session.anchor_points} of them.`;
  if (session.reanchored) tellAnchor(points);
  show(answer, points);
  document.body.dataset.pushed = points;
};
/* By a new anchor the session reads its last points anew. Said when it is news, not with every push. */
const tellAnchor = (points) => {
  anchors += 1;
  byId("anchors").textContent = value("hold") === 0
    ? "Anchored anew with every push: as accurate as the model can be."
    : `Anchored anew at point ${points}, ${counted(anchors, "time")} so far; in between, what was read is not read again.`;
};
const changedPlay = () => {
  if (path === null) return;
  const { state } = player, stopped = state === "stopped", rest = path.points.length - value("now");
  byId("play").textContent = { playing: "Pause", held: "Go on", stopped: atEnd() ? "Play again" : "Play" }[state];
  byId("play").disabled = stopped && rest === 0 && !atEnd();
  byId("stop").disabled = stopped;
  byId("now").disabled = !stopped;
  byId("summary").setAttribute("aria-live", stopped ? "polite" : "off");
  if (stopped && atEnd()) byId("live").textContent = "Played to the end.";
  else if (stopped && rest === 0) byId("live").textContent = "All points are observed: move “observed up to” back to play on from there.";
  else if (stopped) byId("live").textContent = `${counted(rest, "point")} to come.`;
  document.body.dataset.play = state;
};
const stopped = () => {
  player.stop();
  byId("now").value = path.now;
  labels();
  changedPlay();
  refresh(0);
};

/* ---- getting started ---- */
const prepareLegend = () => {
  byId("legend").replaceChildren(...LEGEND.map(([name, text, shown]) => {
    const label = Object.assign(document.createElement("label"), { className: "check" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: shown, id: `show-${name}` });
    const swatch = Object.assign(document.createElement("span"), { className: `swatch ${name}` });
    label.append(box, swatch, text);
    box.addEventListener("change", () => {
      if (box.checked) view.shown.add(name);
      else view.shown.delete(name);
      view.plan();
      labels();
      if (name === "samples") refresh(0);
    });
    if (!shown) view.shown.delete(name);
    return label;
  }));
};

const prepareView = () => {
  const space = model.input_dim === model.target_dim && model.input_dim === 3, plane = model.input_dim === model.target_dim && model.input_dim === 2;
  const canvas = byId("view"), turn = byId("turn");
  byId("turn-choice").hidden = !space;
  if (!space && !plane) {
    view = new Channels(canvas);
    return;
  }
  view = new View(canvas, (text) => (byId("reading").textContent = text));
  byId("view-hint").textContent = space ? "Drag or use the arrow keys to turn, + and − to zoom, 0 to reset." : "+ and − zoom, 0 resets.";
  if (plane) return;
  turn.checked = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  turn.addEventListener("change", () => view.keepTurning(turn.checked));
  view.touched = () => {
    turn.checked = false;
    view.keepTurning(false);
  };
  view.keepTurning(turn.checked);
};

const prepareControls = () => {
  const rolls = model.input_dim === model.target_dim, most = Math.min(model.limits.horizon, rolls ? MOST_HORIZON : model.steps_per_pass);
  byId("horizon").max = most;
  byId("horizon").value = Math.min(model.steps_per_pass, most);
  for (const id of ["now", "horizon", "temperature"]) byId(id).addEventListener("input", () => {
    if (id === "now") {
      path.now = value("now");
      changedPlay();
    }
    labels();
    refresh();
  });
  byId("redraw").addEventListener("click", () => {
    seed += 1;
    refresh(0);
  });
  byId("play").addEventListener("click", playOrHold);
  byId("stop").addEventListener("click", stopped);
  byId("pace").addEventListener("change", () => {
    if (player.state !== "stopped") player.pace = { dt: path.dt ?? UNTIMED, pace: value("pace") };
  });
  byId("numbers").addEventListener("toggle", () => reply && byId("numbers").open && drawTable(byId("forecast"), tableOf(reply.answer, reply.dt)));
  byId("save").addEventListener("click", save);
};

const save = () => {
  if (!reply) return;
  const { header, rows } = tableOf(reply.answer, reply.dt);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([writeTable(header, rows)], { type: "text/csv" }));
  link.download = "forecast.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), AGAIN);
};

const describe = () => {
  const millions = (count) => (count >= 1e5 ? `${brief(count / 1e6, 2)} M` : count.toLocaleString("en"));
  const mixture = model.experts ? `${model.experts} experts in each of ${counted(model.layers, "layer")}, ${model.active_experts} serve a token` : `${counted(model.layers, "layer")} without experts`;
  byId("title").textContent = document.title = `Forecasts by ${model.name}`;
  byId("about").textContent = `${millions(model.parameters)} parameters, ${millions(model.active_parameters)} at work at a time; ${mixture}; on ${model.device}.`;
  byId("experts-card").hidden = model.experts === 0;
  byId("experts-note").textContent = `Framed: the ${model.active_experts} that served the last token, with their gates in %. Filled: share of all tokens of the request. Point at a cell to read it.`;
};

const start = async () => {
  try {
    model = await ask("/v1/model");
  } catch (error) {
    if (error.status === 503 || error.status === 0) {
      say("waiting", error.status === 503 ? "not ready yet" : "no connection");
      setTimeout(start, AGAIN);
    } else say("refused", error.status === 401 ? "a key is needed" : "refused");
    if (error.status !== 503) failed(error);
    return;
  }
  alert("");
  byId("key-form").hidden = true;
  say("ready", "ready");
  if (!sources) prepare();
  await sources.loadExamples();
  if (sources.examples.length) sources.pick(0);
  else sources.open("paste");
};

const prepare = () => {
  describe();
  byId("work").hidden = false;
  player = new Player(() => ({ ...wish(), hold_points: value("hold") }), { answered: pushed, failed: (message) => alert(message), changed: changedPlay });
  prepareView();
  prepareLegend();
  prepareControls();
  sources = new Sources(model, { chosen: choose, failed });
  labels();
};

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  byId("key").value = "";
  start();
});
start();
