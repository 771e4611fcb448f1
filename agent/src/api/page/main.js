// Which view is shown, and when it is drawn again.

import { ago, element } from "./dom.js";
import { connect, link, onChange, parts } from "./live.js";
import { nodes } from "./nodes.js";
import * as others from "./others.js";
import * as services from "./services.js";

const TABS = [["services", "Services"], ["routing", "VIPs & BGP"], ["nodes", "Nodes"], ["fleet", "Fleet & sources"], ["events", "Events"]];
const content = document.getElementById("content");
const search = document.getElementById("search");
const only = document.getElementById("only");

const memory = { open: new Set(), why: new Map(), latencies: new Map(), toggle };
const SAMPLES = 60;

// #/VIEW or #/service/NAME, with ?q=SEARCH&only=WHAT: a link shows another what one sees.
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  const parameters = new URLSearchParams(query);
  return {
    view: view || "services", name: decodeURIComponent(rest.join("/")),
    filter: { search: (parameters.get("q") ?? "").toLowerCase().trim(), only: parameters.get("only") ?? "all" },
  };
}

function go(changes) {
  const now = place();
  const parameters = new URLSearchParams();
  if (search.value.trim()) parameters.set("q", search.value.trim());
  if (only.value !== "all") parameters.set("only", only.value);
  const view = changes.view ?? (now.view === "service" ? "services" : now.view);
  const query = parameters.toString();
  history.replaceState(null, "", `#/${view}${query ? `?${query}` : ""}`);
  draw();
}

function toggle(host) {
  if (!memory.open.delete(host)) memory.open.add(host);
  draw();
  ask();
}

async function fetchWhy(host) {
  try {
    const answer = await fetch(`/live/why/${encodeURIComponent(host)}`);
    return answer.ok ? await answer.json() : { problem: await answer.text(), services: [] };
  } catch {
    // The state line says that lvsd is gone.
    return null;
  }
}

async function ask() {
  if (place().view !== "service" || !link.isLive) return;
  for (const host of memory.open) {
    const why = await fetchWhy(host);
    if (!why) continue;
    memory.why.set(host, why);
    for (const check of why.services.flatMap((s) => s.backends).flatMap((b) => b.checks ?? [])) {
      if (!check.latency) continue;
      const kept = memory.latencies.get(`${host} ${check.check}`) ?? [];
      kept.push(services.milliseconds(check.latency));
      memory.latencies.set(`${host} ${check.check}`, kept.slice(-SAMPLES));
    }
  }
  if (memory.open.size) draw();
}
setInterval(ask, 2000);

function drawTabs(view) {
  const current = view === "service" ? "services" : view;
  document.getElementById("tabs").replaceChildren(...TABS.map(([name, text]) =>
    element("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, text)));
}

function drawState() {
  const daemon = parts.get("daemon");
  const state = document.getElementById("state");
  document.documentElement.classList.toggle("stale", !link.isLive);
  const notices = [];
  if (!link.isLive && link.heard) {
    notices.push(element("p", { class: "bad" }, `No word from lvsd since ${new Date(link.heard).toLocaleTimeString()} (${ago(link.heard * 1000)}): what you see is as it was then. Trying again.`));
  }
  if (daemon) {
    document.getElementById("host").textContent = `${daemon.version} on ${daemon.host}`;
    document.title = `${daemon.host} · lvsd`;
    if (daemon.dry_run) notices.push(element("p", { class: "odd" }, "Dry run: nothing is written to the kernel, no router is told of anything."));
    if (daemon.drain) notices.push(element("p", { class: "odd" }, `The balancer is ${daemon.drain.stage}: ${daemon.drain.said}`));
    for (const failure of daemon.kernel_failures) notices.push(element("p", { class: "bad" }, failure));
    for (const host of daemon.absent_hosts) notices.push(element("p", { class: "odd" }, `An operator said something of ${host}, which no pool has.`));
  }
  const isGood = link.isLive && daemon?.ready;
  state.className = isGood ? "good" : link.isLive ? "odd" : "bad";
  state.textContent = !daemon ? "connecting …" : !link.isLive ? "no connection" : `${daemon.ready ? "live" : "not ready"}, ${daemon.phase}`;
  document.getElementById("notices").replaceChildren(...notices);
}

const VIEWS = {
  services: ({ filter }) => services.list(filter), service: ({ name }) => services.one(name, memory),
  routing: ({ filter }) => others.routing(filter), nodes: ({ filter }) => nodes(filter),
  fleet: () => others.fleet(), events: ({ filter }) => others.events(filter),
};

function draw() {
  const now = place();
  drawTabs(now.view);
  drawState();
  if (document.activeElement !== search) search.value = new URLSearchParams(location.hash.split("?")[1] ?? "").get("q") ?? "";
  only.value = now.filter.only;
  if (!parts.size) return;
  const view = VIEWS[now.view] ?? VIEWS.services;
  const focused = document.activeElement?.closest?.("#content") ? document.activeElement.textContent : null;
  content.replaceChildren(...view(now));
  content.dataset.view = now.view;
  if (focused) [...content.querySelectorAll("a, button")].find((item) => item.textContent === focused)?.focus({ preventScroll: true });
}

// Of a list of hundreds only the rows that changed are made anew.
function drawRows(changed) {
  const { filter } = place();
  const rows = new Map([...content.querySelectorAll("[data-service]")].map((row) => [row.dataset.service, row]));
  for (const key of changed) {
    const [kind, ...rest] = key.split("/");
    const name = rest.join("/");
    if (kind !== "service" && kind !== "traffic") continue;
    const service = parts.get(`service/${name}`);
    const row = rows.get(name);
    if (!service || Boolean(row) !== services.isShown(service, filter)) return draw();
    if (row && !row.contains(document.activeElement)) row.replaceWith(services.row(name, kind === "service"));
    else if (row) {
      const isLink = document.activeElement.matches("a");
      const made = services.row(name, kind === "service");
      row.replaceWith(made);
      if (isLink) made.querySelector("a").focus({ preventScroll: true });
    }
  }
}

const CONCERNS = { service: ["service/", "traffic/"], routing: ["vip/", "peer/"], nodes: ["nodes"], fleet: ["fleet", "source/"], events: ["lines"] };

onChange((changed, isNew) => {
  const { view } = place();
  if (isNew || changed.has("link")) return draw();
  drawState();
  if (view === "services" || !VIEWS[view]) return content.dataset.view === "services" ? drawRows(changed) : draw();
  if ([...changed].some((key) => CONCERNS[view].some((start) => key.startsWith(start)))) draw();
});

setInterval(() => {
  for (const time of document.querySelectorAll("[data-since]")) time.textContent = ago(Number(time.dataset.since));
  if (!link.isLive) drawState();
}, 5000);

search.addEventListener("input", () => go({}));
only.addEventListener("change", () => go({}));
document.getElementById("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  search.blur();
  const found = content.querySelector("#services a");
  if (found) location.hash = found.getAttribute("href");
});
window.addEventListener("hashchange", draw);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input, select");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape") {
    if (search.value) search.value = "";
    else if (place().view !== "service") return;
    search.blur();
    go({});
  } else if (!isTyping && TABS[Number(event.key) - 1]) {
    go({ view: TABS[Number(event.key) - 1][0] });
  }
});

const root = document.documentElement;
root.dataset.theme = localStorage.getItem("theme") ?? "";
document.getElementById("theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

draw();
connect();
