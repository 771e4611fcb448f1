// Elements without markup in strings: whatever a name or a reason contains, it is text.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function chart(values, said) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "chart");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", said);
  if (values.length > 1) {
    const top = Math.max(...values, 1e-9);
    const point = (value, at) => `${(100 * at) / (values.length - 1)},${(19 - (18 * value) / top).toFixed(2)}`;
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", "M" + values.map(point).join("L"));
    svg.append(path);
  }
  return svg;
}

export function bar(pool) {
  const share = (part) => (pool.total ? (100 * part) / pool.total : 0);
  const fill = element("i");
  fill.style.width = `${share(pool.serving)}%`;
  const mark = element("b", { title: `${pool.needed} needed` });
  mark.style.left = `${Math.min(share(pool.needed), 99)}%`;
  return element("span", { class: pool.serving < pool.needed ? "bar low" : "bar", "aria-hidden": "true" }, fill, mark);
}

export function ago(micros) {
  if (!micros) return "";
  const seconds = Math.max(0, Math.round(Date.now() / 1000 - micros / 1e6));
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${seconds} s ago`;
}

export function since(micros) {
  if (!micros) return "";
  const at = new Date(micros / 1000);
  return element("time", { datetime: at.toISOString(), title: at.toISOString(), "data-since": micros }, ago(micros));
}

export function scrolled(table) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table" }, table);
}

export function table(heads, rows, isWide = true) {
  const head = element("thead", {}, element("tr", {}, heads.map((text) => element("th", { scope: "col" }, text))));
  return scrolled(element("table", isWide ? { class: "wide" } : {}, head, element("tbody", {}, rows)));
}

export function amount(number) {
  if (number === undefined || number === null) return "";
  const whole = Math.round(number);
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (whole >= size) return `${(whole / (unit === "k" ? 1e3 : size)).toPrecision(3)} ${unit}`;
  }
  return String(whole);
}

export function has(search, ...texts) {
  const all = texts.join(" ").toLowerCase();
  return search.split(/\s+/).every((word) => all.includes(word));
}
