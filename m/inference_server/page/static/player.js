/* A path played on as a sensor would push it: a point at a time while the server keeps pace; what has become due in the
   meantime goes together, so that the motion's own pace is kept. */

import { openStream } from "./api.js";
import { clamp } from "./geometry.js";

export class Player {
  /* options() is what to ask for with a push. told: answered(reply, pushed, count), failed(message), changed(). */
  constructor(options, told) {
    Object.assign(this, { options, told, state: "stopped", stream: null, timer: 0 });
  }

  play({ points, dt }, from, pace) {
    Object.assign(this, { points, pushed: 0, from, pause: false, waiting: true, state: "playing", period: (1000 * dt) / pace });
    let stream;
    const alive = (listener) => (content) => this.stream === stream && listener(content); // not of one stopped before
    stream = openStream({
      opened: alive(() => this.push(from)),
      answered: alive((reply) => this.take(reply)),
      failed: (message) => {
        if (stream !== undefined && this.stream !== stream) return;
        this.told.failed(message);
        this.stop();
      },
      closed: alive(() => this.stop()),
    });
    this.stream = stream;
    if (stream === null) this.state = "stopped";
    this.told.changed();
  }

  push(count) {
    const points = this.points.slice(this.pushed, this.pushed + count);
    this.pushed += count;
    this.count = count;
    this.waiting = true;
    this.stream.send({ points, ...this.options() });
  }

  take(reply) {
    this.waiting = false;
    if (this.pushed === this.from) this.restart();
    this.told.answered(reply, this.pushed, this.count);
    if (this.state === "stopped") return;
    if (this.pushed >= this.points.length) this.stop();
    else this.pump();
  }

  /* Count time from now on, at the point reached. */
  restart() {
    Object.assign(this, { origin: performance.now(), reached: this.pushed });
  }

  pump() {
    clearTimeout(this.timer);
    if (this.state !== "playing" || this.waiting) return;
    const due = this.reached + Math.floor((performance.now() - this.origin) / this.period) - this.pushed;
    if (due >= 1) return this.push(clamp(due, 1, this.points.length - this.pushed));
    this.timer = setTimeout(() => this.pump(), Math.max(1, this.origin + (this.pushed - this.reached + 1) * this.period - performance.now()));
  }

  set pace({ dt, pace }) {
    this.period = (1000 * dt) / pace;
    this.restart();
  }

  hold() {
    this.state = "held";
    clearTimeout(this.timer);
    this.told.changed();
  }

  goOn() {
    this.state = "playing";
    this.restart();
    this.pump();
    this.told.changed();
  }

  stop() {
    if (this.state === "stopped") return;
    clearTimeout(this.timer);
    this.state = "stopped";
    const stream = this.stream;
    this.stream = null;
    if (stream) stream.close();
    this.told.changed();
  }
}
