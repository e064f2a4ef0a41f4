/* What all canvases need: sharp pixels, colours of the style sheet, lines and words. */

const scheme = window.matchMedia("(prefers-color-scheme: dark)");
const NAMES = ["ink", "muted", "line", "paper", "wash", "accent", "observed", "truth", "forecast", "fan", "sample", "grid"];
let known = null;

/* The style sheet's colours, light or dark as the page is. */
export const colours = () => {
  if (known === null) {
    const style = getComputedStyle(document.documentElement);
    known = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return known;
};
export const onNewColours = (listener) => scheme.addEventListener("change", () => {
  known = null;
  listener();
});

/* A cleared canvas whose pixels are the screen's; sizes are in CSS pixels. */
export const fitted = (canvas) => {
  const { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
};

export const line = (context, places, { colour, width, dash = [], alpha = 1 }) => {
  if (places.length < 2) return;
  context.beginPath();
  places.forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  Object.assign(context, { strokeStyle: colour, lineWidth: width, lineJoin: "round", lineCap: dash.length ? "butt" : "round", globalAlpha: alpha });
  context.setLineDash(dash);
  context.stroke();
  context.setLineDash([]);
  context.globalAlpha = 1;
};

export const text = (context, words, [x, y], { colour, size, weight = 400, align = "center", upright = false }) => {
  context.save();
  Object.assign(context, { fillStyle: colour, font: `${weight} ${size}px system-ui, "Segoe UI", Roboto, sans-serif`, textAlign: align, textBaseline: "middle" });
  context.translate(x, y);
  if (upright) context.rotate(-Math.PI / 2);
  context.fillText(words, 0, 0);
  context.restore();
};
