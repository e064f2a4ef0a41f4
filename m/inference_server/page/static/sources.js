/* Where a path comes from: picked, drawn, or pasted. Each hands over { title, points, now, dt, unit }, where `now` is
   how many of the points are observed at first; and where it is known better than by observing, the truth after `known` points. */

import { ask } from "./api.js";
import { colours, fitted, line, onNewColours } from "./canvas.js";
import { boxOf, Camera, inSpace, range } from "./geometry.js";
import { lifted, Pad } from "./pad.js";
import { channelNames, readTable } from "./paths.js";
import { byId, counted } from "./words.js";

const MOST_BYTES = 5e6; // of a file

export class Sources {
  /* chosen(path) gets each new path, failed(message) what went wrong. */
  constructor(model, { chosen, failed }) {
    Object.assign(this, { model, chosen, failed, seed: 0, examples: [], drawing: null });
    this.dims = model.input_dim;
    this.whole = model.input_dim === model.target_dim; // else what was forecast cannot be observed
    byId("draw-choice").hidden = ![2, 3].includes(this.dims);
    byId("lift-controls").hidden = this.dims !== 3;
    this.prepareSwitch();
    this.prepareExamples();
    this.preparePad();
    this.prepareTable();
  }

  prepareSwitch() {
    const inputs = [...document.querySelectorAll('input[name="source"]')];
    const show = () => {
      for (const input of inputs) byId(input.value).hidden = !input.checked;
      if (!byId("draw").hidden) this.pad.draw();
    };
    for (const input of inputs) input.addEventListener("change", show);
    this.open = (name) => {
      for (const input of inputs) input.checked = input.value === name;
      show();
    };
  }

  /* ---- picked ---- */
  prepareExamples() {
    byId("others").addEventListener("click", async () => {
      const name = this.picked;
      this.seed += 1;
      await this.loadExamples();
      const index = Math.max(0, this.examples.findIndex((example) => example.name === name));
      if (this.examples.length) this.pick(index);
    });
    onNewColours(() => this.drawThumbnails());
  }

  async loadExamples() {
    try {
      this.examples = (await ask(`/v1/examples?seed=${this.seed}`)).examples;
    } catch (error) {
      this.failed(error);
      return;
    }
    byId("others").hidden = this.examples.length === 0;
    byId("examples").replaceChildren(...this.examples.map((example, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.append(document.createElement("canvas"), example.title);
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => this.pick(index));
      return button;
    }));
    if (this.examples.length) Object.assign(this.pad, { dt: this.examples[0].dt, unit: this.examples[0].unit });
    this.drawThumbnails();
  }

  drawThumbnails() {
    [...byId("examples").querySelectorAll("canvas")].forEach((canvas, index) => {
      const { context, width, height } = fitted(canvas);
      if (width === 0) return;
      const { context: seen, truth } = this.examples[index], split = seen.length;
      const points = [...seen, ...truth].map(inSpace), camera = new Camera();
      camera.flat = this.dims === 2;
      const places = points.map(camera.projection(boxOf(points, [0.1, 0.1, 0.1]), width, height, [2, 2])), colour = colours();
      line(context, places.slice(split - 1), { colour: colour.forecast, width: 1.4 });
      line(context, places.slice(0, split), { colour: colour.observed, width: 2 });
    });
  }

  pick(index) {
    const { name, title, context, ahead, truth, dt, unit } = this.examples[index];
    this.picked = name;
    this.mark(index);
    this.chosen({ title, points: [...context, ...ahead], truth, known: context.length, now: context.length, dt, unit });
  }

  mark(index) {
    [...byId("examples").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
  }

  /* ---- drawn ---- */
  preparePad() {
    this.pad = new Pad(byId("pad"), {
      drawn: (points, dt) => {
        this.drawing = { points, dt };
        this.lift();
      },
      short: () => this.failed(new Error("That was too short to be a path; draw a longer line.")),
    });
    const told = () => (byId("height-text").textContent = `${byId("height").value}${this.pad.unit && ` ${this.pad.unit}`}`);
    const changed = () => {
      told();
      if (this.drawing) this.lift();
    };
    for (const name of ["lift", "height"]) byId(name).addEventListener("input", changed);
    told();
  }

  lift() {
    const { points, dt } = this.drawing;
    const path = this.dims === 3 ? lifted(points, byId("lift").value, Number(byId("height").value)) : points;
    this.mark(-1);
    this.chosen({ title: "Your drawing", points: path, now: path.length, dt, unit: this.pad.unit });
  }

  /* ---- pasted ---- */
  prepareTable() {
    const table = byId("table"), names = channelNames(this.dims).join(",");
    const columns = this.dims <= 3 ? `Columns ${names} or t,${names} (seconds)` : `${this.dims} columns, or one of time (seconds) before them`;
    byId("table-hint").textContent = `${columns}, with or without a header; separated by commas, semicolons, tabs or spaces. A file can be dropped anywhere on the page.`;
    byId("use-table").addEventListener("click", () => this.useTable());
    byId("sample-table").addEventListener("click", () => {
      table.value = sampleTable(this.dims);
      this.useTable();
    });
    byId("file").addEventListener("change", (event) => {
      this.readFile(event.target.files[0]);
      event.target.value = ""; // so that the same file can be chosen again
    });
    this.prepareDrop();
  }

  /* A file may be dropped anywhere: beside the field, a browser would leave the page for it. */
  prepareDrop() {
    const hasFile = (event) => event.dataTransfer !== null && event.dataTransfer.types.includes("Files"); // dropped text goes into the field by itself
    const mark = (over) => byId("table").classList.toggle("over", over);
    for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      mark(true);
    });
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) mark(false); // left the window
    });
    document.addEventListener("drop", (event) => {
      mark(false);
      if (!hasFile(event)) return;
      event.preventDefault();
      document.querySelector("input[value=paste]").click();
      this.readFile(event.dataTransfer.files[0]);
    });
  }

  async readFile(file) {
    if (!file) return;
    if (file.size > MOST_BYTES) return this.complain(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; give a table of at most ${MOST_BYTES / 1e6} MB.`);
    byId("table").value = await file.text();
    this.useTable();
  }

  useTable() {
    let read;
    try {
      read = readTable(byId("table").value, this.dims);
    } catch (error) {
      return this.complain(error.message);
    }
    this.complain("");
    const most = this.model.limits.context, { points, dt, note } = read, notes = [`${counted(points.length, "point")} read.`];
    if (note) notes.push(note);
    if (points.length > most) notes.push(`The last ${most} are used: the server takes no more.`);
    if (this.whole && points.length > 16) notes.push("Move “observed up to” back to compare the forecast with what came.");
    byId("table-note").textContent = notes.join(" ");
    const used = points.slice(-most);
    this.mark(-1);
    this.chosen({ title: "Your table", points: used, now: used.length, dt, unit: "" });
  }

  complain(message) {
    byId("table-complaint").hidden = message === "";
    byId("table-complaint").textContent = message;
    if (message) byId("table-note").textContent = "";
  }
}

/* A closed-form path as a table, to see how one is written. */
const sampleTable = (dims) => {
  const waves = range(dims).map((axis) => (time) => (axis === 2 ? 0.4 * time : Math.sin(2.5 * time + (axis * Math.PI) / 2)));
  const rows = range(96).map((index) => [0.02 * index, ...waves.map((wave) => wave(0.02 * index))].map((value) => value.toFixed(4)));
  return [["t", ...channelNames(dims)], ...rows].map((row) => row.join(",")).join("\n");
};
