// A cluster's nodes: sessions, blocks, and what became of their routes.

import { element, has, since, table } from "./dom.js";
import { parts } from "./live.js";

// A node may have hundreds of blocks, and as many routes that are refused.
const SHOWN = 8;
const some = (texts, where) => [...texts.slice(0, SHOWN), ...(texts.length > SHOWN ? [`${texts.length - SHOWN} more: ${where}`] : [])];

const isUp = (session) => session.state === "Established";
const isTroubled = (node) => node.problems.length > 0 || node.sessions.some((session) => !isUp(session));

function sessionText(session) {
  return element("div", { class: isUp(session) ? "good" : "bad" },
    `${session.address} ${session.state} `, since(session.since), session.stale ? `, ${session.stale} stale` : "");
}

function row(node) {
  const learned = node.sessions.reduce((sum, session) => sum + session.learned, 0);
  const errors = node.sessions.filter((session) => !isUp(session)).map((session) => session.last_error).filter(Boolean);
  return element("tr", { "data-node": node.name },
    element("td", {}, node.name, element("div", { class: "faint" }, node.asn ? `AS ${node.asn}` : "nobody has named it")),
    element("td", {}, node.sessions.length ? node.sessions.map(sessionText) : element("span", { class: "faint" }, "none")),
    element("td", {}, some(node.blocks, "lvsctl nodes").join(", ")),
    element("td", { class: "number" }, node.sessions.length ? `${node.routes} taken of ${learned}` : `${node.routes} taken`),
    element("td", { class: "why" }, some([...node.problems, ...errors], "lvsctl routes").join("; ")));
}

// What concerns all of them.
function head(view) {
  const tell = (tone) => (text) => element("p", { class: tone }, text);
  return [
    element("p", {}, `${view.accepted} routes taken, ${view.refused} refused, ${view.installed} in the kernel, ${view.foreign} of others in its table`),
    view.pools.length ? element("p", { class: "faint" }, `pods are in ${view.pools.join(", ")}`) : null,
    view.reflector ? element("p", { class: "faint" }, `they are told one another's routes: this is their reflector, cluster ${view.reflector}`) : null,
    view.waiting ? element("p", { class: "odd" }, view.waiting) : null,
    view.source_error ? element("p", { class: "bad" }, `the cluster as it was known goes on: ${view.source_error}`) : null,
    (view.peering ?? []).map(tell("odd")),
    view.alarms.map(tell("bad")),
    view.failures.map((failure) => element("p", { class: "bad" }, `the kernel: ${failure}`)),
  ].flat().filter(Boolean);
}

export function nodes({ search, only }) {
  const view = parts.get("nodes");
  if (!view) return [element("p", { class: "empty" }, "lvsd has no [nodes]: it takes no routes of a cluster's nodes.")];
  const shown = view.nodes.filter((node) => has(search, node.name, JSON.stringify(node)) && (only === "all" || isTroubled(node)));
  return [
    element("h2", {}, `${shown.length} of ${view.nodes.length} nodes`),
    ...head(view),
    shown.length ? table(["node", "sessions", "blocks", "routes", "what is wrong"], shown.map(row)) : element("p", { class: "empty" }, "None to show."),
  ];
}
