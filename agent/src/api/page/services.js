// The list of services, and one service.

import { amount, ago, bar, chart, element, since, table } from "./dom.js";
import { names, parts, rates } from "./live.js";

const TONES = {
  pooled: "good", up: "good", down: "bad", "held-though-down": "bad", "held-despite-agent": "bad", "off-link": "bad",
};
export const tone = (word) => TONES[word] ?? "odd";

export function troubles(service) {
  const found = [];
  for (const pool of service.pools) {
    if (pool.serving < pool.needed) found.push(`${pool.family}: ${pool.serving} of ${pool.total} serve, ${pool.needed} are needed`);
    const held = pool.backends.filter((backend) => backend.standing.startsWith("held")).length;
    if (held) found.push(`${pool.family}: ${held} held though they should be out`);
  }
  if (service.source_error) found.push(`source: ${service.source_error}`);
  if (service.source_stale) found.push("its backends are those of an earlier process");
  if (service.source_held) found.push("a large change of its source is held back");
  if (service.waiting) found.push(service.waiting);
  for (const { host, reason } of [...service.unusable, ...(service.stale_names ?? [])]) found.push(`${host}: ${reason}`);
  for (const canary of service.canaries ?? []) {
    if (canary.state === "down") found.push(`canary on ${canary.vip}: ${canary.reason}`);
  }
  return found;
}

const backendsOf = (service) => service.pools.flatMap((pool) => pool.backends);
const isOut = (service) => backendsOf(service).some((backend) => backend.standing !== "pooled");
const isTroubled = (service) => troubles(service).length > 0 || backendsOf(service).some((b) => tone(b.standing) === "bad");

function text(service) {
  const backends = backendsOf(service).map((b) => `${b.host} ${b.address} ${b.standing} ${b.reason}`);
  return [service.name, service.port, service.vips.join(" "), ...backends].join(" ").toLowerCase();
}

export function isShown(service, { search, only }) {
  if (only === "trouble" && !isTroubled(service)) return false;
  if (only === "out" && !isOut(service)) return false;
  return search.split(/\s+/).every((word) => text(service).includes(word));
}

const what = (service) => (service.fwmark ? `mark ${service.fwmark}` : `${service.protocol} ${service.port}`);
const href = (name) => `#/service/${encodeURIComponent(name)}`;

function poolText(pool) {
  const counts = `${pool.pooled}/${pool.total}`;
  const said = `${pool.family}: ${pool.pooled} of ${pool.total} pooled, ${pool.serving} serve, ${pool.needed} needed`;
  return element("span", { class: "pool", title: said, "aria-label": said }, pool.family === "ipv6" ? "v6" : "v4", bar(pool), counts);
}

export function row(name, isFresh) {
  const service = parts.get(`service/${name}`);
  const traffic = parts.get(`traffic/${name}`);
  const found = troubles(service);
  const out = backendsOf(service).filter((backend) => backend.standing !== "pooled").map((b) => b.host);
  const hosts = [...new Set(out)];
  return element("div", { class: isFresh ? "service fresh" : "service", "data-service": name, role: "listitem" },
    element("a", { href: href(name) }, name),
    element("span", { class: "vips" }, `${what(service)} on ${service.vips.join(", ")}`),
    element("span", {}, service.pools.map(poolText), hosts.length ? element("span", { class: "odd" }, `out: ${hosts.slice(0, 4).join(", ")}${hosts.length > 4 ? ` and ${hosts.length - 4} more` : ""}`) : null),
    traffic
      ? element("span", {}, chart(rates.get(name) ?? [], `${amount(traffic.connections_per_second)} connections a second`), ` ${amount(traffic.connections_per_second)}/s`)
      : element("span", {}),
    found.length ? element("p", { class: "troubles" }, found.join("; ")) : null);
}

export function list(filter) {
  const shown = names("service").filter((name) => isShown(parts.get(`service/${name}`), filter));
  const all = names("service").length;
  const count = shown.length === all ? `${all} services` : `${shown.length} of ${all} services`;
  if (!all) return [element("p", { class: "empty" }, "No service is configured.")];
  return [
    element("h2", {}, count),
    element("div", { role: "list", id: "services" }, shown.map((name) => row(name, false))),
    shown.length ? null : element("p", { class: "empty" }, "None matches. Esc clears the search."),
  ].filter(Boolean);
}

function backendRow(service, pool, backend, traffic, open, toggle) {
  const of = traffic?.backends?.[backend.address];
  const key = `${backend.host}`;
  const isOpen = open.has(key);
  const button = element("button", { type: "button", class: "more", "aria-expanded": String(isOpen), onclick: () => toggle(key) }, backend.host);
  return element("tr", { "data-backend": backend.host },
    element("td", {}, button, element("div", { class: "faint" }, backend.address)),
    element("td", { class: tone(backend.standing) }, backend.standing),
    element("td", { class: tone(backend.health) }, backend.health),
    element("td", { class: "number" }, `weight ${backend.weight}`),
    element("td", { class: "number" }, of ? `${amount(of.active)} + ${amount(of.inactive)} conn.` : ""),
    element("td", { class: "number" }, of ? `${amount(of.connections_per_second)}/s` : ""),
    element("td", {}, since(backend.since)),
    element("td", { class: "why" }, backend.reason, backend.agent ? `; its agent asks for ${backend.agent}` : ""));
}

export const milliseconds = (duration) => duration.secs * 1e3 + duration.nanos / 1e6;

function checkText(check, latencies) {
  const said = [`${check.verdict}`];
  if (check.since) said.push(`since ${ago(check.since)}`);
  if (check.latency) said.push(`answers in ${milliseconds(check.latency).toFixed(1)} ms`);
  if (check.certificate_expires) said.push(`certificate until ${new Date(check.certificate_expires / 1000).toISOString().slice(0, 10)}`);
  if (check.failure) said.push(check.failure);
  const history = check.history.slice(-6).reverse().map((step) =>
    element("li", {}, since(step.at), ` ${step.verdict}`, step.failure ? `: ${step.failure}` : ""));
  return element("div", {},
    element("h3", {}, check.check, " ", chart(latencies, "latency of its latest probes")),
    element("p", { class: tone(check.verdict) }, said.join("; ")),
    history.length ? element("ul", { class: "events" }, history) : null);
}

function details(host, why, latencies) {
  if (!why) return element("p", { class: "faint" }, "asking …");
  if (why.problem) return element("p", { class: "bad" }, why.problem);
  const backends = why.services.flatMap((service) => service.backends.map((backend) => ({ service, backend })));
  return element("section", { "aria-label": `why ${host}` }, backends.map(({ service, backend }) => [
    element("h3", {}, `${host} (${backend.address}) in ${service.service}: ${backend.standing}`),
    element("p", {}, backend.reason, ". ", backend.path),
    (backend.checks ?? []).map((check) => checkText(check, latencies.get(`${host} ${check.check}`) ?? [])),
  ]));
}

export function one(name, memory) {
  const service = parts.get(`service/${name}`);
  if (!service) return [element("p", { class: "empty" }, `There is no service ${name}.`)];
  const traffic = parts.get(`traffic/${name}`);
  const facts = [
    ["VIPs", service.vips.join(", ")], ["packets", `${what(service)}, ${service.scheduler}, ${service.forwarding}`],
    ["settings", service.settings], ["backends' port", service.backend_port], ["source", service.source],
    ["connections", traffic ? `${amount(traffic.connections_per_second)} a second, ${amount(traffic.active)} established; ${amount(traffic.bytes_in_per_second)} bytes a second from clients` : ""],
  ].filter(([, value]) => value);
  const heads = ["backend", "standing", "checks", "weight", "connections", "rate", "since", "why"];
  return [
    element("h2", {}, name, " ", chart(rates.get(name) ?? [], "connections a second")),
    ...troubles(service).map((trouble) => element("p", { class: "bad" }, trouble)),
    element("dl", {}, facts.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, String(value))])),
    ...service.pools.flatMap((pool) => [
      element("h3", {}, poolText(pool)),
      table(heads, pool.backends.map((backend) => backendRow(service, pool, backend, traffic, memory.open, memory.toggle))),
      pool.draining.length ? element("p", { class: "faint" }, `finishing their connections: ${pool.draining.join(", ")}`) : null,
    ]).filter(Boolean),
    ...[...memory.open].map((host) => details(host, memory.why.get(host), memory.latencies)),
  ];
}
