/* The server's routes, read from its own description. */

import { ask, useKey } from "./api.js";
import { byId } from "./words.js";

const FIRST = "forecasts"; // of the groups of routes
const MOST_DEPTH = 4; // of examples made from a schema

let described;
let channels = 3; // numbers of a point, as the model has it

const element = (name, content = "", className = "") => {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...[content].flat());
  return made;
};
const code = (text) => element("code", text);
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? code(part) : part)); // as docstrings mark code
const sentence = (parts) => parts.filter(Boolean).map((part) => part.replace(/[.]$/, "")).join("; ");

/* ---- schemas ---- */
const resolved = (schema) => (schema && schema.$ref ? described.components.schemas[schema.$ref.split("/").at(-1)] : schema || {});
const nameOf = (schema) => (schema && schema.$ref ? schema.$ref.split("/").at(-1) : "");
const depthOf = (schema) => (schema.type === "array" ? 1 + depthOf(resolved(schema.items)) : 0);

const typeOf = (raw) => {
  const schema = resolved(raw);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" or ");
  const options = schema.anyOf || schema.oneOf;
  if (options) return options.map(typeOf).join(" or ");
  if (schema.type === "array") {
    let inner = schema;
    while (inner.type === "array") inner = resolved(inner.items);
    return `${"list of ".repeat(depthOf(schema))}${typeOf(inner)}`;
  }
  if (nameOf(raw)) return nameOf(raw);
  if (schema.type === "object" && schema.additionalProperties) return `object of ${typeOf(schema.additionalProperties)}`;
  return schema.type || "anything";
};
const BOUNDS = { minimum: "at least", exclusiveMinimum: "above", maximum: "at most", exclusiveMaximum: "below", minLength: "length at least", maxLength: "length at most", minItems: "items at least", maxItems: "items at most" };
const boundsOf = (raw) => {
  const schema = resolved(raw);
  const own = Object.entries(BOUNDS).filter(([name]) => schema[name] !== undefined).map(([name, words]) => `${words} ${schema[name]}`);
  const inner = (schema.anyOf || schema.oneOf || []).filter((each) => resolved(each).type !== "array").map(boundsOf).filter(Boolean);
  return [...own, ...inner].join(", ");
};

/* Names, types and meanings of an object's fields; of those that are objects themselves too. */
const fieldTable = (fields) => {
  const head = element("tr", ["name", "type", "meaning"].map((name) => {
    const title = element("th", name);
    title.scope = "col";
    return title;
  }));
  const rows = fields.map(({ name, type, needed, meaning }) => element("tr", [element("td", [code(name), ...(needed ? [" needed"] : [])]), element("td", type), element("td", prose(meaning))]));
  const table = element("table", [element("thead", head), element("tbody", rows)]);
  return element("div", table, "scroll");
};
const fieldsOf = (schema) => Object.entries(schema.properties || {}).map(([name, field]) => {
  const own = resolved(field), standard = field.default !== undefined && field.default !== null ? `default ${JSON.stringify(field.default)}` : "";
  return { name, type: typeOf(field), needed: (schema.required || []).includes(name), meaning: sentence([field.description || own.description, boundsOf(field), standard]) };
}).sort((a, b) => b.needed - a.needed);
const innerObjects = (schema, found = new Map()) => {
  const visit = (raw) => {
    const name = nameOf(raw), inner = resolved(raw);
    if (name && inner.properties && !found.has(name)) {
      found.set(name, inner);
      Object.values(inner.properties).forEach(visit);
    }
    for (const each of [...(inner.anyOf || []), ...(inner.oneOf || []), inner.items, inner.additionalProperties]) if (each && typeof each === "object") visit(each);
  };
  Object.values(schema.properties || {}).forEach(visit);
  return found;
};
const shape = (raw) => {
  const schema = resolved(raw), parts = [];
  if (schema.properties) parts.push(fieldTable(fieldsOf(schema)));
  else parts.push(element("p", typeOf(raw), "note"));
  for (const [name, inner] of innerObjects(schema)) parts.push(element("h3", [code(name)]), fieldTable(fieldsOf(inner)));
  return parts;
};

/* ---- examples ---- */
const PATH = [0, 1, 2, 3].map((step) => (axis) => Number((0.1 * step * (axis + 1)).toFixed(2)));
const exampleOf = (raw, depth = 0) => {
  const schema = resolved(raw), options = schema.anyOf || schema.oneOf;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined && schema.default !== null) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (options) return exampleOf(options[0], depth);
  if (depthOf(schema) === 2) return PATH.map((value) => Array.from({ length: channels }, (_, axis) => value(axis)));
  if (schema.type === "array") return depth > MOST_DEPTH ? [] : [exampleOf(schema.items, depth + 1)];
  if (schema.properties && depth <= MOST_DEPTH) {
    return Object.fromEntries((schema.required || []).map((name) => [name, exampleOf(schema.properties[name], depth + 1)]));
  }
  return { integer: 1, number: 1.0, string: "text", boolean: false, object: {} }[schema.type] ?? null;
};
const bodyOf = (operation) => {
  const content = operation.requestBody && operation.requestBody.content;
  if (!content) return null;
  const type = content["application/json"] ? "application/json" : Object.keys(content)[0];
  return { type, ...content[type] };
};
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const curl = (path, method, operation) => {
  let address = path;
  const query = [];
  for (const parameter of operation.parameters || []) {
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, parameter.name.includes("version") ? "1" : described.model || parameter.name.toUpperCase());
    else if (parameter.in === "query" && parameter.required) query.push(`${parameter.name}=${encodeURIComponent(exampleOf(parameter.schema))}`);
  }
  const body = bodyOf(operation), lines = [`curl -s ${quoted(`${window.location.origin}${address}${query.length ? `?${query.join("&")}` : ""}`)}`];
  if (method !== "get" && !(method === "post" && body)) lines.push(`-X ${method.toUpperCase()}`);
  if (body) {
    const given = body.example ?? (body.examples && Object.values(body.examples)[0].value) ?? exampleOf(body.schema);
    lines.push(`-H ${quoted(`Content-Type: ${body.type}`)}`, `-d ${quoted(JSON.stringify(given))}`);
  }
  return lines.join(" \\\n  ");
};

/* ---- the page ---- */
const anchor = (path, method) => `${method}${path.replaceAll(/[^a-z0-9]+/gi, "-")}`;

/* Statuses that are answered alike stand together. */
const answers = (operation) => {
  const groups = new Map();
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    const [type, { schema }] = Object.entries(answer.content || {})[0] || ["", {}], key = `${type} ${JSON.stringify(schema)}`;
    const group = groups.get(key) || groups.set(key, { statuses: [], type, schema }).get(key);
    group.statuses.push(status);
  }
  return [...groups.values()].map(({ statuses, type, schema }) => {
    const words = [...statuses.flatMap((status) => [code(status), " "]), nameOf(schema) || type || "no content"];
    const known = schema && Object.keys(schema).length > 0;
    return known ? element("details", [element("summary", words), ...shape(schema)]) : element("p", words, "plain");
  });
};

const route = ({ path, method, operation }) => {
  const content = element("div"), body = bodyOf(operation), told = operation.description || operation.summary || "";
  const parameters = (operation.parameters || []).map((parameter) => ({
    name: parameter.name, type: typeOf(parameter.schema), needed: parameter.required,
    meaning: sentence([`in the ${parameter.in}`, parameter.description || resolved(parameter.schema).description, boundsOf(parameter.schema)]),
  }));
  if (told.includes("\n")) content.append(...told.split(/\n{2,}/).map((part) => element("p", prose(part))));
  if (parameters.length) content.append(element("h3", "Parameters"), fieldTable(parameters));
  if (body) content.append(element("h3", `Body, ${body.type}`), ...(body.schema ? shape(body.schema) : []));
  content.append(element("h3", "Answers"), ...answers(operation), element("h3", "Try it"), element("pre", curl(path, method, operation)));
  const head = [element("span", method.toUpperCase(), "method"), element("span", path, "address"), element("span", prose(told.split("\n")[0]), "note")];
  const part = element("details", [element("summary", head), content], "route");
  part.id = anchor(path, method);
  part.dataset.route = `${method.toUpperCase()} ${path}`;
  return part;
};

const draw = () => {
  const operations = Object.entries(described.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  const tagOf = ({ operation }) => (operation.tags || ["others"])[0];
  const tags = [...new Set(operations.map(tagOf))].sort((a, b) => (b === FIRST) - (a === FIRST));
  byId("title").textContent = document.title = `API of ${described.info.title}`;
  byId("about").replaceChildren(...prose(`Version ${described.info.version}. ${described.info.description || ""}`));
  byId("routes").replaceChildren(...tags.map((tag) => element("section", [element("h2", tag), ...operations.filter((each) => tagOf(each) === tag).map(route)], "card")));
  for (const id of ["common", "stream"]) byId(id).hidden = false;
  byId("status").textContent = "ready";
  byId("status").dataset.state = "ready";
  document.body.dataset.state = "shown";
  unfold();
};

/* The route that the address names. */
const unfold = () => {
  const named = window.location.hash.length > 1 && byId(window.location.hash.slice(1));
  if (!named) return;
  named.open = true;
  named.scrollIntoView();
};
window.addEventListener("hashchange", unfold);
byId("unfold").addEventListener("click", () => {
  for (const part of document.querySelectorAll(".route")) part.open = true;
});

const start = async () => {
  try {
    described = await ask("/openapi.json");
    const model = await ask("/v1/model").catch(() => null); // while it is loading, three numbers stand in
    if (model !== null) [channels, described.model] = [model.input_dim, model.name];
  } catch (error) {
    byId("key-form").hidden = error.status !== 401;
    byId("alert").textContent = error.message;
    byId("alert").hidden = false;
    return;
  }
  byId("key-form").hidden = byId("alert").hidden = true;
  draw();
};
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  byId("key").value = "";
  start();
});
start();
