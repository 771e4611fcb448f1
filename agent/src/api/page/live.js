// What lvsd tells, kept as it was told last: parts by key, like "service/web" or "peer/r1", and the latest lines of its log.

const LINES = 1000;
// lvsd gives a sign every two seconds.
const SILENT = 7000;

export const parts = new Map();
export const lines = [];
// Connections per second and active connections of each service, the latest last.
export const rates = new Map();
const SAMPLES = 90;

export const link = { heard: 0, isLive: false };

const listeners = new Set();
export function onChange(listener) {
  listeners.add(listener);
}

function tell(changed, isNew) {
  for (const listener of listeners) listener(changed, isNew);
}

function sample(key, value) {
  if (!key.startsWith("traffic/")) return;
  const name = key.slice("traffic/".length);
  const kept = rates.get(name) ?? [];
  kept.push(value.connections_per_second);
  if (kept.length > SAMPLES) kept.shift();
  rates.set(name, kept);
}

function take(set, gone, isNew) {
  const changed = new Set();
  for (const [key, value] of Object.entries(set)) {
    parts.set(key, value);
    sample(key, value);
    changed.add(key);
  }
  for (const key of gone) {
    parts.delete(key);
    changed.add(key);
  }
  tell(changed, isNew);
}

export function names(kind) {
  const found = [];
  for (const key of parts.keys()) if (key.startsWith(kind + "/")) found.push(key.slice(kind.length + 1));
  return found.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

function heard() {
  const wasLive = link.isLive;
  link.heard = Date.now();
  link.isLive = true;
  if (!wasLive) tell(new Set(["link"]), false);
}

function lost() {
  if (!link.isLive && link.heard) return;
  link.isLive = false;
  tell(new Set(["link"]), false);
}

export function connect() {
  const source = new EventSource("/live");
  const on = (name, act) =>
    source.addEventListener(name, (message) => {
      heard();
      act(JSON.parse(message.data));
    });
  on("all", (set) => {
    parts.clear();
    take(set, [], true);
  });
  on("some", ({ set, gone }) => take(set, gone, false));
  on("lines", (news) => {
    // A daemon that was restarted counts anew.
    if (news.length && lines.length && news[0].id <= lines[lines.length - 1].id) lines.length = 0;
    lines.push(...news);
    lines.splice(0, Math.max(0, lines.length - LINES));
    tell(new Set(["lines"]), false);
  });
  on("beat", () => {});
  source.addEventListener("error", () => {
    lost();
    // The browser itself tries again, but not after an answer that is none.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

setInterval(() => {
  if (link.isLive && Date.now() - link.heard > SILENT) lost();
}, 1000);
