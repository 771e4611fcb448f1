// What lvsd tells, kept as it was told last: parts by key, like "service/web" or "peer/r1", and the latest lines of its log.

const LINES = 1000;
// lvsd gives a sign every two seconds.
const SILENT = 7000;

export const parts = new Map();
export const lines = [];
// Connections per second of each service, every two seconds, the latest last.
export const rates = new Map();
const SAMPLES = 90;
const SAMPLE_PERIOD = 2000;

export const link = { heard: 0, isLive: false };

const listeners = new Set();
export function onChange(listener) {
  listeners.add(listener);
}

function tell(changed, isNew) {
  for (const listener of listeners) listener(changed, isNew);
}

function take(set, gone, isNew) {
  const changed = new Set();
  for (const [key, value] of Object.entries(set)) {
    parts.set(key, value);
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

let source = null;
let tried = 0;

export function connect() {
  // A connection that is silent may never end by itself, as that to a host that lost its power.
  source?.close();
  tried = Date.now();
  const made = new EventSource("/live");
  source = made;
  const on = (name, act) =>
    made.addEventListener(name, (message) => {
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
  made.addEventListener("error", () => {
    lost();
    // The browser itself tries again, but not after an answer that is none.
    if (made.readyState === EventSource.CLOSED) setTimeout(() => source === made && connect(), 2000);
  });
}

setInterval(() => {
  if (Date.now() - Math.max(link.heard, tried) <= SILENT) return;
  lost();
  connect();
}, 1000);

// What does not change is not told again, and is a sample all the same.
setInterval(() => {
  if (!link.isLive) return;
  for (const name of names("traffic")) {
    const kept = rates.get(name) ?? [];
    kept.push(parts.get(`traffic/${name}`).connections_per_second);
    rates.set(name, kept.slice(-SAMPLES));
  }
}, SAMPLE_PERIOD);
