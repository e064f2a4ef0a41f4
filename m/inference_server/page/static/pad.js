/* A place to draw a path, by pointer or by keys. */

import { colours, fitted, line, onNewColours, text } from "./canvas.js";
import { ticksBetween } from "./geometry.js";
import { resampled, smoothed } from "./paths.js";

export const SIDE = 4; // of the area, in the path's units
const KEY_SECONDS = 0.1, KEY_STEP = SIDE / 40; // a press of an arrow key is so long and goes so far
const FEWEST = 8, MOST = 512; // points of a path
const PASSES = 3; // of smoothing

export class Pad {
  /* drawn(points, dt) gets a path's x and y, evenly timed; short() is called when there was too little. */
  constructor(canvas, { drawn, short }) {
    Object.assign(this, { canvas, drawn, short, marks: [], dt: 0.02, unit: "", pen: null });
    new ResizeObserver(() => this.draw()).observe(canvas);
    onNewColours(() => this.draw());
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.end(event));
    canvas.addEventListener("keydown", (event) => this.press(event));
  }

  /* ---- by pointer ---- */
  begin(event) {
    this.pen = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.marks = [];
    this.mark(event);
  }

  move(event) {
    if (this.pen !== event.pointerId) return;
    const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const each of all.length ? all : [event]) this.mark(each);
    this.draw();
  }

  end(event) {
    if (this.pen !== event.pointerId) return;
    this.pen = null;
    this.finish();
  }

  mark(event) {
    const area = this.canvas.getBoundingClientRect(), time = event.timeStamp / 1000;
    if (this.marks.length && !(time > this.marks.at(-1).time + 1e-4)) return;
    const place = [(event.clientX - area.left) / area.width - 0.5, 0.5 - (event.clientY - area.top) / area.height];
    this.marks.push({ time, place: place.map((part) => part * SIDE) });
  }

  /* ---- by keys ---- */
  press(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const move = moves[event.key];
    if (move) {
      const last = this.marks.at(-1) || { time: 0, place: [0, 0] };
      if (this.marks.length === 0) this.marks.push(last);
      this.marks.push({ time: last.time + KEY_SECONDS, place: last.place.map((part, axis) => part + KEY_STEP * move[axis]) });
      this.draw();
    } else if (event.key === "Enter") this.finish();
    else if (event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
  }

  clear() {
    this.marks = [];
    this.draw();
  }

  /* Hands the path on: evenly timed, a little smoothed, at the motions' own pace unless it took very long. */
  finish() {
    this.draw();
    const times = this.marks.map(({ time }) => time), seconds = times.length ? times.at(-1) - times[0] : 0;
    const dt = Math.max(this.dt, seconds / MOST);
    if (times.length < 3 || seconds / dt < FEWEST) return this.short();
    this.drawn(smoothed(resampled(times, this.marks.map(({ place }) => place), dt), PASSES), dt);
  }

  draw() {
    const { context, width, height } = fitted(this.canvas), colour = colours();
    const at = ([x, y]) => [(x / SIDE + 0.5) * width, (0.5 - y / SIDE) * height];
    for (const tick of ticksBetween(-SIDE / 2, SIDE / 2, 4).slice(1, -1)) {
      line(context, [at([tick.value, -SIDE / 2]), at([tick.value, SIDE / 2])], { colour: colour.grid, width: 1 });
      line(context, [at([-SIDE / 2, tick.value]), at([SIDE / 2, tick.value])], { colour: colour.grid, width: 1 });
      text(context, tick.text, [at([tick.value, 0])[0], height - 9], { colour: colour.muted, size: 11 });
      text(context, tick.text, [12, at([0, tick.value])[1]], { colour: colour.muted, size: 11 });
    }
    text(context, `x${this.unit && ` (${this.unit})`}`, [width - 24, height - 9], { colour: colour.muted, size: 12 });
    text(context, `y${this.unit && ` (${this.unit})`}`, [18, 11], { colour: colour.muted, size: 12 });
    line(context, this.marks.map(({ place }) => at(place)), { colour: colour.accent, width: 2.5 });
    if (!this.marks.length) return;
    const [x, y] = at(this.marks.at(-1).place);
    context.fillStyle = colour.accent;
    context.fillRect(x - 3, y - 3, 6, 6);
  }
}

/* How z goes along a drawn path. */
export const lifted = (points, manner, height) => {
  const shapes = { level: () => 0, rise: (part) => part, fall: (part) => -part, wave: (part) => 0.5 * Math.sin(4 * Math.PI * part) };
  return points.map(([x, y], index) => [x, y, height * shapes[manner](index / Math.max(points.length - 1, 1))]);
};
