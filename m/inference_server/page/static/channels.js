/* The path and its forecast over time, a band for each channel: for points that are no places. Answers like a View. */

import { colours, fitted, line, onNewColours, text } from "./canvas.js";
import { range, ticksBetween } from "./geometry.js";
import { channelNames } from "./paths.js";

const MOST = 8; // channels that have room
const [LEFT, RIGHT, GAP, BOTTOM] = [58, 12, 14, 34];

export class Channels {
  constructor(canvas) {
    this.canvas = canvas;
    this.scene = null;
    this.shown = new Set(["observed", "truth", "forecast", "fan", "samples"]);
    this.planned = 0;
    canvas.classList.add("still");
    new ResizeObserver(() => this.plan()).observe(canvas);
    onNewColours(() => this.plan());
  }

  show(scene) {
    this.scene = scene;
    this.plan();
  }

  plan() {
    if (this.planned === 0) this.planned = requestAnimationFrame(() => {
      this.planned = 0;
      this.draw();
    });
  }

  draw() {
    const { context, width, height } = fitted(this.canvas);
    if (!this.scene || width === 0) return;
    const { observed, forecast, truth, unit } = this.scene, step = this.scene.dt ?? 1;
    const past = observed.slice(-Math.max(64, 3 * (forecast || []).length));
    const count = Math.min(past[0].length, MOST), tall = (height - BOTTOM - GAP * count) / count;
    const last = Math.max((forecast || []).length, (truth || []).length, 1) * step, first = -(past.length - 1) * step;
    const across = (time) => LEFT + ((time - first) / (last - first || 1)) * (width - LEFT - RIGHT);
    range(count).forEach((channel) => this.band(context, channel, past, { across, step, width, top: GAP + channel * (tall + GAP), tall }));
    const colour = colours();
    for (const tick of ticksBetween(first, last, width / 90)) text(context, tick.text, [across(tick.value), height - BOTTOM + 10], { colour: colour.muted, size: 11 });
    text(context, (this.scene.dt === null ? "steps from now" : "seconds from now") + (unit ? `; values in ${unit}` : ""), [LEFT + 0.5 * (width - LEFT - RIGHT), height - 8], { colour: colour.ink, size: 12 });
  }

  band(context, channel, past, { across, step, width, top, tall }) {
    const { forecast, truth, low, high, samples } = this.scene, colour = colours();
    const column = (points) => (points || []).map((point) => point[channel]).filter((value) => value !== undefined);
    const ahead = (points) => column(points).map((value, index) => [(index + 1) * step, value]);
    const values = [past, forecast, truth, low, high].flatMap(column);
    const [least, most] = [Math.min(...values), Math.max(...values)], room = 0.06 * (most - least) || 1;
    const down = (value) => top + tall - ((value - least + room) / (most - least + 2 * room)) * tall;
    const at = (pairs) => pairs.map(([time, value]) => [across(time), down(value)]);
    for (const tick of ticksBetween(least - room, most + room, Math.max(2, tall / 40))) {
      line(context, [[LEFT, down(tick.value)], [width - RIGHT, down(tick.value)]], { colour: colour.grid, width: 1 });
      text(context, tick.text, [LEFT - 6, down(tick.value)], { colour: colour.muted, size: 11, align: "right" });
    }
    line(context, [[across(0), top], [across(0), top + tall]], { colour: colour.muted, width: 1, dash: [3, 3] });
    text(context, channelNames(past[0].length)[channel], [9, top + 0.5 * tall], { colour: colour.ink, size: 12, upright: true });
    if (this.shown.has("fan") && low && column(low).length) {
      context.beginPath();
      [...at(ahead(low)), ...at(ahead(high)).reverse()].forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
      Object.assign(context, { globalAlpha: 0.24, fillStyle: colour.fan });
      context.fill();
      context.globalAlpha = 1;
    }
    if (this.shown.has("samples")) for (const path of samples || []) line(context, at(ahead(path)), { colour: colour.sample, width: 1, alpha: 0.6 });
    if (this.shown.has("observed")) line(context, at(column(past).map((value, index) => [(index - past.length + 1) * step, value])), { colour: colour.observed, width: 1.6 });
    if (this.shown.has("truth")) line(context, at(ahead(truth)), { colour: colour.truth, width: 2 });
    if (this.shown.has("forecast")) line(context, at(ahead(forecast)), { colour: colour.forecast, width: 2.2, dash: [7, 4] });
  }
}
