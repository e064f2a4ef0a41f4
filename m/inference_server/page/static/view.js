/* The path and its forecast on a canvas: in space, to be turned, or in the plane. Axes are equally long for equal distances. */

import { boxOf, Camera, clamp, inSpace, outline, range, ticksBetween } from "./geometry.js";
import { colours, fitted, line, onNewColours, text } from "./canvas.js";

const STEP = Math.PI / 24; // of a key press
const FULL_TURN_SECONDS = 45;
const FRAME_MILLISECONDS = 33;
const NEAR = 14; // pixels within which a pointer means a point
const CROWDED = 8; // pixels between forecast points, below which they are not marked
const THIN = 0.35; // of the longest side, that a box has at least
const MARGINS = (width) => [Math.min(52, 0.1 * width), 40]; // for the axes' numbers and names
const NAMES = ["x", "y", "z"];

export class View {
  /* told(text) gets what a point under the pointer says. */
  constructor(canvas, told) {
    this.canvas = canvas;
    this.told = told;
    this.camera = new Camera();
    this.scene = null;
    this.shown = new Set(["observed", "truth", "forecast", "fan", "samples"]);
    this.turning = false;
    this.touched = () => {}; // when somebody takes hold of it
    this.planned = 0;
    new ResizeObserver(() => this.plan()).observe(canvas);
    onNewColours(() => this.plan());
    this.listen();
  }

  /* scene: observed, truth, forecast, low, high, samples: lists of points or null; frame: points whose box is shown; unit, dt. */
  show(scene) {
    const spaced = (points) => (points ? points.map(inSpace) : null);
    const { dims, unit, dt } = scene;
    this.scene = { dims, unit, dt, samples: scene.samples ? scene.samples.map(spaced) : null };
    for (const name of ["observed", "truth", "forecast", "low", "high"]) this.scene[name] = spaced(scene[name]);
    this.camera.flat = dims === 2;
    this.scene.box = boxOf(spaced(scene.frame), dims === 2 ? [THIN, THIN, 0] : [THIN, THIN, THIN]);
    this.canvas.classList.toggle("still", this.camera.flat);
    this.plan();
  }

  plan() {
    if (this.planned === 0) this.planned = requestAnimationFrame(() => {
      this.planned = 0;
      this.draw();
    });
  }

  keepTurning(on) {
    if (on && !this.turning) this.turned = performance.now();
    this.turning = on;
    if (!on) return;
    const go = (now) => {
      if (!this.turning) return;
      if (now - this.turned >= FRAME_MILLISECONDS) {
        this.camera.turn((2 * Math.PI * Math.min(now - this.turned, 200)) / (1000 * FULL_TURN_SECONDS), 0);
        this.turned = now;
        this.plan();
      }
      requestAnimationFrame(go);
    };
    requestAnimationFrame(go);
  }

  /* ---- hands on it ---- */
  listen() {
    const held = new Map(); // pointer -> where it was
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.camera.flat) return;
      held.set(event.pointerId, event);
      this.canvas.setPointerCapture(event.pointerId);
      this.touched();
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (before === undefined) return this.read(event);
      const gap = () => { const [a, b] = [...held.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
      const wide = held.size === 2 ? gap() : 0;
      held.set(event.pointerId, event);
      if (held.size === 2) this.zoom(gap() / Math.max(wide, 1));
      else this.turn((before.clientX - event.clientX) * 0.009, (event.clientY - before.clientY) * 0.009);
    });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, (event) => held.delete(event.pointerId));
    this.canvas.addEventListener("pointerleave", () => this.told(""));
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== this.canvas) return; // else the page could not be scrolled past it
      event.preventDefault();
      this.zoom(Math.exp(-0.0015 * event.deltaY));
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key] && !this.camera.flat) this.turn(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.15);
    else if (event.key === "-") this.zoom(1 / 1.15);
    else if (event.key === "Home" || event.key === "0") this.reset();
    else return;
    event.preventDefault();
    this.touched();
  }

  reset() {
    const flat = this.camera.flat;
    this.camera.reset();
    this.camera.flat = flat;
    this.plan();
  }

  turn(azimuth, elevation) {
    this.camera.turn(azimuth, elevation);
    this.plan();
  }

  zoom(factor) {
    this.camera.zoom = clamp(this.camera.zoom * factor, 0.3, 8);
    this.plan();
  }

  /* Says what lies under the pointer. */
  read(event) {
    if (!this.scene || !this.project) return;
    const area = this.canvas.getBoundingClientRect(), pointer = [event.clientX - area.left, event.clientY - area.top];
    let best = null, nearest = NEAR;
    for (const name of ["observed", "truth", "forecast"]) {
      if (!this.shown.has(name)) continue;
      (this.scene[name] || []).forEach((point, index) => {
        const place = this.project(point), distance = Math.hypot(place[0] - pointer[0], place[1] - pointer[1]);
        if (distance <= nearest) [best, nearest] = [{ name, index, point }, distance];
      });
    }
    this.told(best === null ? "" : this.described(best));
  }

  described({ name, index, point }) {
    const { dims, unit, dt, low, high, observed } = this.scene;
    const steps = name === "observed" ? index - observed.length + 1 : index + 1;
    const time = dt === null ? `step ${steps}` : `${(steps * dt).toFixed(2)} s`;
    const words = { observed: "observed", truth: "truth", forecast: "forecast" };
    const values = range(dims).map((axis) => {
      const between = name === "forecast" && low ? ` (${low[index][axis].toPrecision(3)} to ${high[index][axis].toPrecision(3)})` : "";
      return `${NAMES[axis]} ${point[axis].toPrecision(4)}${between}`;
    });
    return `${words[name]} at ${time}: ${values.join(", ")}${unit ? ` ${unit}` : ""}`;
  }

  /* ---- drawing ---- */
  draw() {
    const { context, width, height } = fitted(this.canvas);
    if (!this.scene || width === 0) return;
    this.project = this.camera.projection(this.scene.box, width, height, MARGINS(width));
    const brush = { context, colour: colours(), at: (points) => points.map(this.project) };
    this.drawBox(brush);
    const draw = { fan: () => this.drawFan(brush), samples: () => this.drawSamples(brush), observed: () => this.drawObserved(brush), truth: () => this.drawTruth(brush), forecast: () => this.drawForecast(brush) };
    for (const [name, paint] of Object.entries(draw)) if (this.shown.has(name)) paint();
    this.canvas.dataset.azimuth = this.camera.azimuth.toFixed(4);
    this.canvas.dataset.elevation = this.camera.elevation.toFixed(4);
  }

  corner(signs) {
    const { middle, half } = this.scene.box;
    return range(3).map((axis) => middle[axis] + signs[axis] * half[axis]);
  }

  drawBox(brush) {
    const { middle, half } = this.scene.box, { flat } = this.camera;
    const far = flat ? [1, 1, -1] : this.camera.frame.eye.map((part) => (part > 0 ? -1 : 1));
    const ticks = range(3).map((axis) => (half[axis] > 0 ? ticksBetween(middle[axis] - half[axis], middle[axis] + half[axis], 4.5 * Math.sqrt(half[axis] / Math.max(...half))) : []));
    const at = (...pairs) => {
      const point = [...middle];
      for (const [axis, value] of pairs) point[axis] = value;
      return point;
    };
    const end = (axis, sign) => middle[axis] + sign * half[axis];
    for (const normal of flat ? [2] : range(3)) { // the faces behind
      const [a, b] = range(3).filter((axis) => axis !== normal);
      const wall = [normal, end(normal, far[normal])];
      for (const [along, across] of [[a, b], [b, a]]) {
        for (const { value } of [...ticks[across], { value: end(across, -1) }, { value: end(across, 1) }]) {
          line(brush.context, brush.at([at(wall, [across, value], [along, end(along, -1)]), at(wall, [across, value], [along, end(along, 1)])]), { colour: brush.colour.grid, width: 1 });
        }
      }
    }
    const near = flat ? [-1, -1, -1] : far.map((sign) => -sign);
    this.label(brush, 0, ticks[0], (value) => at([0, value], [1, end(1, near[1])], [2, end(2, flat ? 0 : far[2])]));
    this.label(brush, 1, ticks[1], (value) => at([1, value], [0, end(0, near[0])], [2, end(2, flat ? 0 : far[2])]));
    if (flat) return;
    const sides = [[near[0], far[1]], [far[0], near[1]]].sort((a, b) => this.project(this.corner([...a, 0]))[0] - this.project(this.corner([...b, 0]))[0]);
    this.label(brush, 2, ticks[2], (value) => at([2, value], [0, end(0, sides[0][0])], [1, end(1, sides[0][1])]));
  }

  /* Numbers along an edge, outside of the box, and the axis' name. */
  label(brush, axis, ticks, place) {
    const { middle, half } = this.scene.box, centre = this.project(middle);
    const [from, to] = brush.at([place(middle[axis] - half[axis]), place(middle[axis] + half[axis])]);
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    if (length < 30) return; // seen end on
    let out = [-(to[1] - from[1]) / length, (to[0] - from[0]) / length];
    const mid = [0.5 * (from[0] + to[0]), 0.5 * (from[1] + to[1])];
    if (out[0] * (mid[0] - centre[0]) + out[1] * (mid[1] - centre[1]) < 0) out = [-out[0], -out[1]];
    const write = (spot, words, gap, style) => text(brush.context, words, [spot[0] + out[0] * gap, spot[1] + out[1] * gap], style);
    for (const tick of length < 90 ? ticks.filter((_, index) => index % 2 === 0) : ticks) write(this.project(place(tick.value)), tick.text, 15, { colour: brush.colour.muted, size: 11 });
    const unit = this.scene.unit ? ` (${this.scene.unit})` : "";
    const gap = axis === 2 || (this.camera.flat && axis === 1) ? 44 : 40;
    write(mid, `${NAMES[axis]}${unit}`, gap, { colour: brush.colour.ink, size: 12, weight: 600, upright: axis === 2 || (this.camera.flat && axis === 1) });
  }

  /* The 80 % intervals of all axes are a box at every step; what boxes sweep between steps is filled as one. */
  drawFan(brush) {
    const { low, high, dims, box, observed } = this.scene;
    if (!low) return;
    const most = box.half.map((half) => 3 * half + 1e-9); // a fan that explodes is cut off far outside of the box
    const cut = (point) => point.map((value, axis) => clamp(value, box.middle[axis] - most[axis], box.middle[axis] + most[axis]));
    const corners = low.map((least, step) => {
      const ends = [cut(least), cut(high[step])];
      return brush.at(range(2 ** dims).map((bits) => range(3).map((axis) => ends[(bits >> axis) & 1][axis])));
    });
    const steps = observed && observed.length ? [brush.at([observed.at(-1)]), ...corners] : corners;
    brush.context.beginPath();
    for (const step of range(steps.length - 1)) {
      outline([...steps[step], ...steps[step + 1]]).forEach(([x, y], index) => (index === 0 ? brush.context.moveTo(x, y) : brush.context.lineTo(x, y)));
      brush.context.closePath();
    }
    brush.context.globalAlpha = 0.24;
    brush.context.fillStyle = brush.colour.fan;
    brush.context.fill("nonzero");
    brush.context.globalAlpha = 1;
  }

  drawSamples(brush) {
    for (const path of this.scene.samples || []) line(brush.context, brush.at(path), { colour: brush.colour.sample, width: 1.1, alpha: 0.6 });
  }

  drawObserved(brush) {
    const places = brush.at(this.scene.observed || []);
    line(brush.context, places, { colour: brush.colour.observed, width: 1, alpha: 0.5 });
    brush.context.fillStyle = brush.colour.observed;
    for (const [x, y] of places) dot(brush.context, x, y, 1.9);
    const now = places.at(-1);
    if (!now) return;
    brush.context.fillStyle = brush.colour.ink;
    dot(brush.context, now[0], now[1], 4);
  }

  drawTruth(brush) {
    const { truth } = this.scene;
    if (truth) line(brush.context, brush.at(truth), { colour: brush.colour.truth, width: 2.4 });
  }

  drawForecast(brush) {
    if (!this.scene.forecast) return;
    const places = brush.at(this.scene.forecast);
    line(brush.context, places, { colour: brush.colour.forecast, width: 2.6, dash: [7, 4] });
    brush.context.fillStyle = brush.colour.forecast;
    const length = places.slice(1).reduce((sum, [x, y], index) => sum + Math.hypot(x - places[index][0], y - places[index][1]), 0);
    if (length > CROWDED * places.length) for (const [x, y] of places) dot(brush.context, x, y, 2.4);
    else dot(brush.context, ...places.at(-1), 3);
  }
}

const dot = (context, x, y, radius) => {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
};
