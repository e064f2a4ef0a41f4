/* Who served: layers down, experts across. A cell's filling is the expert's share of the load, a frame that it served now. */

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const percent = (share) => `${Math.round(100 * share)} %`;

const cell = (layer, expert) => {
  const place = layer.experts.indexOf(expert), gate = place < 0 ? null : layer.weights[place];
  const bar = element("div", { className: "bar" });
  bar.style.height = `${100 * layer.load[expert]}%`;
  const box = element("div", { className: gate === null ? "cell" : "cell fired" }, bar, element("span", { textContent: gate === null ? "" : Math.round(100 * gate) }));
  const served = gate === null ? "did not serve the last token" : `served the last token, gate ${percent(gate)}`;
  box.title = `layer ${layer.layer}, expert ${expert}: ${served}; load ${percent(layer.load[expert])}`;
  return element("td", {}, box, element("span", { className: "unseen", textContent: `${served}; load ${percent(layer.load[expert])}` }));
};

/* routing as the server tells it; empty for a model without experts. */
export const drawExperts = (table, routing) => {
  if (!routing || routing.length === 0) return void table.replaceChildren();
  const numbers = routing[0].load.map((_, expert) => expert);
  const head = element("tr", {}, element("th", { scope: "col", textContent: "expert" }), ...numbers.map((expert) => element("th", { scope: "col", textContent: expert })));
  const rows = routing.map((layer) => element("tr", {}, element("th", { scope: "row", textContent: `layer ${layer.layer}` }), ...numbers.map((expert) => cell(layer, expert))));
  table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
};
