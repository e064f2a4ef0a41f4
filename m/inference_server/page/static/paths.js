/* Paths in time: brought onto an even grid, read from a table, written as one. */

const SMOOTHING = [0.25, 0.5, 0.25]; // a pointer's places are whole pixels; without it they shake
const TIME_NAMES = /^(t|time|timestamp|timestamps|seconds|sec|s|t ?[[(].*|time ?[[(].*)$/i;
const UNEVEN = 0.01; // share of a step, as the server has it

export const channelNames = (count) => (count <= 3 ? ["x", "y", "z"].slice(0, count) : Array.from({ length: count }, (_, index) => `channel ${index + 1}`));

/* Places between points, by cubic Hermite pieces whose slopes are those of the neighbours. */
const slopes = (times, points) => points.map((_, index) => {
  const from = Math.max(index - 1, 0), to = Math.min(index + 1, points.length - 1);
  return points[index].map((_, axis) => (points[to][axis] - points[from][axis]) / (times[to] - times[from]));
});
export const resampled = (times, points, step) => {
  const slope = slopes(times, points), result = [];
  const count = Math.floor((times.at(-1) - times[0]) / step + 1e-9) + 1;
  let piece = 0;
  for (let index = 0; index < count; index += 1) {
    const time = times.at(-1) - (count - 1 - index) * step; // it ends with the last point
    while (piece < times.length - 2 && times[piece + 1] < time) piece += 1;
    const width = times[piece + 1] - times[piece], u = (time - times[piece]) / width;
    const [a, b, c, d] = [(1 + 2 * u) * (1 - u) ** 2, u * (1 - u) ** 2 * width, u * u * (3 - 2 * u), u * u * (u - 1) * width];
    result.push(points[piece].map((value, axis) => a * value + b * slope[piece][axis] + c * points[piece + 1][axis] + d * slope[piece + 1][axis]));
  }
  return result;
};

export const smoothed = (points, passes) => {
  let path = points;
  for (let pass = 0; pass < passes; pass += 1) {
    path = path.map((point, index) => {
      if (index === 0 || index === path.length - 1) return point;
      return point.map((value, axis) => SMOOTHING[0] * path[index - 1][axis] + SMOOTHING[1] * value + SMOOTHING[2] * path[index + 1][axis]);
    });
  }
  return path;
};

/* ---- tables ---- */
const cellsOf = (line, separator) => {
  const cells = (separator === " " ? line.trim().split(/\s+/) : line.split(separator)).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
  if (cells.length > 1 && cells.at(-1) === "") cells.pop(); // a separator at the end of the line
  return separator === ";" || separator === "\t" ? cells.map((cell) => (/^[-+]?\d*,\d+(e[-+]?\d+)?$/i.test(cell) ? cell.replace(",", ".") : cell)) : cells;
};
const separatorOf = (line) => [";", "\t", ","].find((sign) => line.includes(sign)) || " ";
const isNumber = (cell) => cell !== "" && Number.isFinite(Number(cell));

const numbered = (text) => text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/)
  .map((line, index) => ({ line, number: index + 1 }))
  .filter(({ line }) => line.trim() !== "" && !line.trim().startsWith("#"));

const rowOf = ({ line, number }, separator, width) => {
  const cells = cellsOf(line, separator);
  if (cells.length !== width) throw new Error(`Line ${number} has ${count(cells.length, "column")}, the first row has ${width}.`);
  const wrong = cells.findIndex((cell) => !isNumber(cell));
  if (wrong >= 0) throw new Error(`Line ${number}, column ${wrong + 1}: ${cells[wrong] === "" ? "a number is missing" : `“${cells[wrong].slice(0, 30)}” is not a number`}.`);
  return cells.map(Number);
};
const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

/* Whether the first column is time. */
const hasTime = (header, width, channels) => {
  const names = channelNames(channels).join(","), wanted = channels <= 3 ? `columns ${names} or t,${names}` : `${channels}, or ${channels + 1} with time first`;
  if (width !== channels && width !== channels + 1) throw new Error(`The table has ${count(width, "column")}; give ${wanted}.`);
  const named = header !== null && TIME_NAMES.test(header[0]);
  if (named && width === channels) throw new Error(`With the time column “${header[0]}” one coordinate is missing; give ${wanted}.`);
  return width === channels + 1;
};

const timed = (rows, numbers) => {
  const times = rows.map((row) => row[0]), points = rows.map((row) => row.slice(1));
  const steps = times.slice(1).map((time, index) => time - times[index]);
  const back = steps.findIndex((step) => !(step > 0));
  if (back >= 0) throw new Error(`Line ${numbers[back + 1]}: the time ${times[back + 1]} does not come after ${times[back]}; times must increase.`);
  const step = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)];
  const even = times.every((time, index) => Math.abs(time - times.at(-1) + (times.length - 1 - index) * step) <= UNEVEN * step);
  if (even) return { points, dt: step, note: "" };
  if ((times.at(-1) - times[0]) / step > 20 * times.length) throw new Error(`The times have gaps far longer than the usual step of ${Number(step.toPrecision(4))}; cut the table at them.`);
  return { points: resampled(times, points, step), dt: step, note: `The times are uneven: the points were interpolated to every ${Number(step.toPrecision(4))} s.` };
};

/* Points of a table, and seconds between them where it has times (else null). Throws Error with what is wrong and where. */
export const readTable = (text, channels) => {
  const lines = numbered(text);
  if (lines.length === 0) throw new Error("There is nothing in the table yet.");
  const separator = separatorOf(lines[0].line);
  const first = cellsOf(lines[0].line, separator);
  const header = first.some((cell) => isNumber(cell)) ? null : first;
  const body = header === null ? lines : lines.slice(1);
  const withTime = hasTime(header, first.length, channels);
  if (body.length < 2) throw new Error(`${body.length === 0 ? "The table has a header and no points" : "One point is no path"}; give at least two rows of numbers.`);
  const rows = body.map((line) => rowOf(line, separator, first.length));
  if (withTime) return timed(rows, body.map(({ number }) => number));
  return { points: rows, dt: null, note: "" };
};

export const writeTable = (header, rows) => [header, ...rows].map((row) => row.join(",")).join("\n") + "\n";
