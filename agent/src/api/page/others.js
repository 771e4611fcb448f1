// VIPs and routers, the fleet, the log.

import { element, has, since, table } from "./dom.js";
import { lines, names, parts } from "./live.js";

export function routing({ search, only }) {
  const vips = names("vip").map((address) => parts.get(`vip/${address}`))
    .filter((vip) => has(search, vip.address, vip.reason) && (only === "all" || !vip.announced));
  const peers = names("peer").map((name) => parts.get(`peer/${name}`))
    .filter((peer) => has(search, peer.name, peer.address ?? "", peer.state) && (only === "all" || peer.state !== "Established"));
  const vipRow = (vip) => element("tr", {},
    element("td", {}, vip.address),
    element("td", { class: vip.announced ? "good" : "bad" }, vip.announced ? "announced" : "withdrawn"),
    element("td", {}, since(vip.since)),
    element("td", { class: "why" }, vip.reason, vip.operator ? `; ${vip.operator}` : ""));
  const peerRow = (peer) => element("tr", {},
    element("td", {}, peer.name, element("div", { class: "faint" }, peer.address ?? "")),
    element("td", { class: peer.state === "Established" ? "good" : "bad" }, peer.state),
    element("td", {}, since(peer.since)),
    element("td", { class: "number" }, `${peer.announced} prefixes${peer.in_sync ? "" : ", writing"}`),
    element("td", { class: peer.bfd ? (peer.bfd.state === "Up" ? "good" : "bad") : "faint" }, peer.bfd ? `BFD ${peer.bfd.state}` : ""),
    element("td", { class: "why" }, [peer.last_error, peer.malformed, ...peer.withheld].filter(Boolean).join("; ")));
  return [
    element("h2", {}, "VIPs"),
    vips.length ? table(["VIP", "state", "since", "why"], vips.map(vipRow)) : element("p", { class: "empty" }, "None to show."),
    element("h2", {}, "BGP peers"),
    peers.length ? table(["peer", "session", "since", "told", "BFD", "last trouble"], peers.map(peerRow)) : element("p", { class: "empty" }, "None to show."),
  ];
}

export function fleet() {
  const fleet = parts.get("fleet");
  const sources = names("source").map((name) => parts.get(`source/${name}`));
  const sourceRow = (source) => element("tr", {},
    element("td", {}, source.name, element("div", { class: "faint" }, source.kind)),
    element("td", { class: source.state === "live" ? "good" : "bad" }, source.state),
    element("td", {}, since(source.since)),
    element("td", { class: "number" }, `${source.pools} pools, ${source.services} services`),
    element("td", { class: "why" }, [source.error, ...source.refused.map((r) => `${r.name}: ${r.reason}`)].filter(Boolean).join("; ")));
  return [
    element("h2", {}, "Fleet"),
    fleet?.problem ? element("p", { class: "bad" }, fleet.problem) : null,
    fleet?.text ? element("pre", { tabindex: "0" }, fleet.text)
      : fleet?.problem ? null : element("p", { class: "empty" }, "lvsd knows of no other balancers: its configuration has no [fleet]."),
    element("h2", {}, "Sources"),
    sources.length ? table(["source", "state", "since", "has", "what is wrong"], sources.map(sourceRow))
      : element("p", { class: "empty" }, "Backends are in the configuration and in files."),
  ].filter(Boolean);
}

export function events({ search, only }) {
  const shown = lines.filter((line) => (only === "all" || line.level !== "info") && has(search, line.message, Object.values(line.about).join(" ")));
  const item = (line) => {
    const at = new Date(line.at / 1000);
    const tone = { warn: "odd", error: "bad" }[line.level] ?? "";
    const service = line.about.service;
    return element("li", {},
      element("time", { datetime: at.toISOString(), title: at.toISOString() }, at.toISOString().slice(11, 19)),
      element("span", { class: tone }, line.level === "info" ? "" : `${line.level}: `, line.message),
      service && parts.has(`service/${service}`) ? [" ", element("a", { href: `#/service/${encodeURIComponent(service)}` }, "→")] : null);
  };
  return [
    element("h2", {}, "Events"),
    shown.length ? element("ol", { class: "events", reversed: true }, shown.slice(-400).reverse().map(item)) : element("p", { class: "empty" }, "None to show."),
  ];
}
