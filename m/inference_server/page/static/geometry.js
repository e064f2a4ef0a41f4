/* Directions, boxes and outlines, without anything drawn. */

export const range = (count) => Array.from({ length: count }, (_, index) => index);
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/* Points of one to three numbers as places in space. */
export const inSpace = (point) => [point[0], point[1] ?? 0, point[2] ?? 0];

/* The box of points; a flat one gets room in its thin directions, so that it can be looked at. */
export const boxOf = (points, thinnest) => {
  const low = range(3).map((axis) => points.reduce((least, point) => Math.min(least, point[axis]), Infinity));
  const high = range(3).map((axis) => points.reduce((most, point) => Math.max(most, point[axis]), -Infinity));
  const longest = Math.max(...range(3).map((axis) => high[axis] - low[axis])) || 1;
  const half = range(3).map((axis) => 0.53 * Math.max(high[axis] - low[axis], thinnest[axis] * longest));
  return { middle: range(3).map((axis) => 0.5 * (low[axis] + high[axis])), half, longest };
};

/* Round numbers between two ends, about so many. */
export const ticksBetween = (low, high, about) => {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const values = range(Math.floor(high / step + 1e-9) - first + 1).map((index) => (first + index) * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return values.map((value) => ({ value, text: Math.abs(value) >= 1e5 || digits > 5 ? value.toExponential(1) : (value || 0).toFixed(digits) }));
};

/* The convex outline of places on the screen, always the same way round (Andrew's monotone chain). */
export const outline = (places) => {
  const sorted = [...places].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const chain = (list) => {
    const kept = [];
    for (const place of list) {
      while (kept.length > 1 && turn(kept.at(-2), kept.at(-1), place) <= 0) kept.pop();
      kept.push(place);
    }
    return kept.slice(0, -1);
  };
  return [...chain(sorted), ...chain(sorted.reverse())];
};
const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

/* A camera that circles the origin. Angles in radians; `flat` looks straight down without perspective. */
export class Camera {
  constructor() {
    this.reset();
  }

  reset() {
    Object.assign(this, { azimuth: -0.9, elevation: 0.42, zoom: 1, flat: false });
  }

  turn(azimuth, elevation) {
    this.azimuth += azimuth;
    this.elevation = clamp(this.elevation + elevation, -1.5, 1.5);
  }

  /* Towards the eye, to the right and up, as unit vectors. */
  get frame() {
    if (this.flat) return { eye: [0, 0, 1], right: [1, 0, 0], up: [0, 1, 0] };
    const [ca, sa, ce, se] = [Math.cos(this.azimuth), Math.sin(this.azimuth), Math.cos(this.elevation), Math.sin(this.elevation)];
    return { eye: [ce * ca, ce * sa, se], right: [-sa, ca, 0], up: [-se * ca, -se * sa, ce] };
  }

  /* A function from places to the screen: the box in the middle, as large as fits from whichever side it is seen.
     margins: pixels left free beside and above the box. */
  projection(box, width, height, [beside, above]) {
    const { eye, right, up } = this.frame, [x, y, z] = box.half, away = 4.5 * Math.hypot(x, y, z);
    const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    const around = Math.hypot(x, y), nearness = this.flat ? 1 : away / (away - around);
    const across = this.flat ? x : around * nearness;
    const upward = this.flat ? y : z * Math.cos(this.elevation) * nearness + around * Math.abs(Math.sin(this.elevation));
    const size = this.zoom * Math.min((0.5 * width - beside) / across, (0.5 * height - above) / upward);
    return (point) => {
      const place = [point[0] - box.middle[0], point[1] - box.middle[1], point[2] - box.middle[2]];
      const scale = this.flat ? size : (size * away) / Math.max(away - dot(place, eye), 0.05 * away);
      const centre = (this.flat ? 0.5 : 0.48) * height; // the near side, which is below, looks larger
      return [0.5 * width + scale * dot(place, right), centre - scale * dot(place, up)];
    };
  }
}
