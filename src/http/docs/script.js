// Shows openapi.json. Everything from the document is set as text, never as HTML.
"use strict";

const make = (name, text, ...children) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
};

const nameOf = (schema) => schema.$ref?.split("/").pop();

const resolve = (api, schema) => {
  let found = schema ?? {};
  // References of references are few; a circle would be a fault of the document.
  for (let steps = 0; found.$ref && steps < 8; steps += 1) {
    found = api.components.schemas[nameOf(found)] ?? {};
  }
  return found;
};

const typeOf = (api, schema) => {
  if (!schema) return "";
  if (schema.$ref) return nameOf(schema);
  if (schema.oneOf) return schema.oneOf.map((one) => typeOf(api, one)).join(" or ");
  if (schema.enum) return schema.enum.join(", ");
  const types = [schema.type ?? "any"].flat().join(" or ");
  if (schema.items) return `array of ${typeOf(api, schema.items)}`;
  const bounds = ["format", "minimum", "maximum", "minLength", "maxLength"]
    .filter((rule) => schema[rule] !== undefined)
    .map((rule) => `${rule} ${schema[rule]}`);
  return [types, ...bounds].join(", ");
};

const table = (heads, rows) => {
  const line = (cell, texts) => make("tr", undefined, ...texts.map((text) => make(cell, text)));
  const body = make("table", undefined, line("th", heads), ...rows.map((row) => line("td", row)));
  const around = make("div", undefined, body);
  around.className = "tables";
  return around;
};

const fields = (api, schema) => {
  const { properties = {}, required = [] } = resolve(api, schema);
  const rows = Object.entries(properties).map(([name, field]) => [
    name,
    typeOf(api, field),
    required.includes(name) ? "required" : "",
    field.description ?? "",
  ]);
  return table(["field", "type", "", "what it is"], rows);
};

const requestOf = (api, operation) => {
  const content = operation.requestBody?.content["application/json"];
  if (!content) return [];
  const example = content.example ?? resolve(api, content.schema).example;
  const parts = [make("h4", "Body"), fields(api, content.schema)];
  if (example) parts.push(make("pre", JSON.stringify(example, null, 2)));
  return parts;
};

const parametersOf = (api, operation) => {
  if (!operation.parameters?.length) return [];
  const rows = operation.parameters.map((one) => [
    one.name,
    one.in,
    typeOf(api, one.schema),
    one.required ? "required" : "",
    one.description ?? "",
  ]);
  return [make("h4", "Parameters"), table(["name", "in", "type", "", "what it is"], rows)];
};

const responsesOf = (api, operation) => {
  const rows = Object.entries(operation.responses).map(([status, response]) => [
    status,
    response.description,
    Object.entries(response.content ?? {})
      .map(([type, content]) => `${type}: ${typeOf(api, content.schema)}`)
      .join("; "),
    Object.keys(response.headers ?? {}).join(", "),
  ]);
  return [make("h4", "Answers"), table(["status", "what it means", "body", "headers"], rows)];
};

const show = (api, method, path, operation) => {
  const signature = make("code", path);
  const title = make("summary", undefined, make("b", method.toUpperCase()), signature);
  title.append(` ${operation.summary ?? ""}`);
  const token = operation.security ? [make("p", "With AUTH=jwt it needs a bearer token.")] : [];
  const text = [operation.description].filter(Boolean).map((one) => make("p", one));
  return make(
    "details", undefined, title, ...text, ...token,
    ...parametersOf(api, operation), ...requestOf(api, operation), ...responsesOf(api, operation),
  );
};

const reference = (api) => {
  const parts = [make("h1", `${api.info.title} ${api.info.version}`), make("p", api.info.description)];
  for (const tag of api.tags) {
    parts.push(make("h2", tag.name), make("p", tag.description));
    for (const [path, operations] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        if (operation.tags?.includes(tag.name)) parts.push(show(api, method, path, operation));
      }
    }
  }
  parts.push(make("h2", "Schemas"));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const title = make("summary", undefined, make("code", name));
    const text = schema.description ? [make("p", schema.description)] : [];
    const shown = schema.properties ? fields(api, schema) : make("p", typeOf(api, schema));
    parts.push(make("details", undefined, title, ...text, shown));
  }
  return parts;
};

fetch("openapi.json")
  .then((answer) => answer.json())
  .then((api) => document.getElementById("reference").replaceChildren(...reference(api)))
  .catch((error) => document.getElementById("reference").append(make("p", String(error))));
