// Shows the figures of cores and groups as they change.
//
// Reads /metrics once a second, what Prometheus reads too, and shows levels as they are and
// counters as their rate since the reading before. What a group is called is text, never markup.
"use strict";

const PERIOD_MS = 1000;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

let last = null;
let updates = 0;

function unescaped(text) {
  return text.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
}

// Family by family, the samples: labels and value.
function parse(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const space = line.lastIndexOf(" ");
    const brace = line.indexOf("{");
    const name = line.slice(0, brace < 0 ? space : brace);
    const labels = {};
    for (const [, key, value] of line.slice(name.length, space).matchAll(LABEL)) {
      labels[key] = unescaped(value);
    }
    const number = line.slice(space + 1);
    const value = number === "+Inf" ? Infinity : Number(number);
    if (!families.has(name)) families.set(name, []);
    families.get(name).push({ labels, value });
  }
  return families;
}

// The rows of a table: a key for each, and what its samples say, by family.
function gather(families, prefix, keyOf) {
  const rows = new Map();
  for (const [name, samples] of families) {
    if (!name.startsWith(prefix)) continue;
    for (const { labels, value } of samples) {
      for (const key of keyOf(labels)) {
        if (!rows.has(key)) rows.set(key, { labels: { ...labels }, sum: new Map() });
        const sum = rows.get(key).sum;
        sum.set(name.slice(prefix.length), (sum.get(name.slice(prefix.length)) || 0) + value);
      }
    }
  }
  return rows;
}

function read(families, at) {
  const both = ["read", "write"];
  return {
    at,
    cores: gather(families, "sluicegate_core_", ({ core }) => [core]),
    groups: gather(families, "sluicegate_group_", ({ id, direction }) =>
      (direction ? [direction] : both).map((each) => `${id} ${each}`)),
    omitted: (families.get("sluicegate_groups_omitted") || [{ value: 0 }])[0].value,
  };
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });

function told(value, format = short) {
  if (value === Infinity) return "none";
  return Number.isFinite(value) ? format.format(value) : "–";
}

function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1) return `${value.toFixed(1)} s`;
  return value >= 0.001 ? `${(value * 1e3).toFixed(1)} ms` : `${(value * 1e6).toFixed(0)} µs`;
}

// What a row says: levels, and rates since the reading before.
function reader(row, before, span) {
  const level = (name) => (row.sum.has(name) ? row.sum.get(name) : NaN);
  const rate = (name) => {
    if (!before || !(span > 0)) return NaN;
    return Math.max(0, level(name) - (before.sum.get(name) ?? NaN)) / span;
  };
  return { level, rate };
}

function coreCells(key, { level, rate }) {
  const busy = rate("busy_seconds_total") + rate("spin_seconds_total");
  return [
    { head: key },
    { share: busy },
    { name: "connections", text: told(level("connections"), whole) },
    { name: "in", text: told(rate("received_bytes_total")) },
    { name: "out", text: told(rate("sent_bytes_total")) },
    { name: "turns", text: told(rate("turns_total")) },
    { text: told(rate("events_total") / rate("turns_total")) },
    { name: "callbacks", text: told(rate("callbacks_total")) },
    { name: "waits", text: told(rate("limit_waits_total")) },
    { text: told(level("mailbox_depth"), whole) },
    { text: seconds(level("longest_turn_seconds")) },
    { text: told(level("stalls_total"), whole) },
  ];
}

function groupCells(key, { level, rate }, { group, id }) {
  const direction = key.split(" ")[1];
  const limit = level("rate_bytes_per_second");
  const now = rate("moved_bytes_total");
  return [
    { head: group === id ? `group ${id}` : `${group} (${id})` },
    { text: direction, plain: true },
    { share: limit === Infinity ? NaN : now / limit },
    { name: "now", text: told(now) },
    { name: "limit", text: told(limit) },
    { name: "total", text: told(level("moved_bytes_total"), whole) },
    { text: told(level("level_bytes")) },
    { text: told(level("usable_burst_bytes")) },
    { name: "members", text: told(level("members"), whole) },
    { name: "waiting", text: told(level("waiting_weight"), whole) },
    { text: told(rate("waits_total")) },
    { text: told(rate("draws_total")) },
  ];
}

function makeCell({ head, share, plain, name }) {
  const cell = document.createElement(head === undefined ? "td" : "th");
  if (head !== undefined) cell.scope = "row";
  if (name) cell.dataset.figure = name;
  if (plain) cell.className = "text";
  if (share !== undefined) {
    const box = document.createElement("div");
    box.className = "share";
    box.append(document.createElement("meter"), document.createElement("span"));
    cell.append(box);
  }
  return cell;
}

function fill(cell, { head, share, text }) {
  if (share === undefined) {
    const content = head === undefined ? text : head;
    if (cell.textContent !== content) cell.textContent = content;
    if (head !== undefined) cell.title = head;
    return;
  }
  const [meter, span] = cell.firstChild.children;
  const known = Number.isFinite(share);
  meter.value = known ? Math.min(share, 1) : 0;
  meter.className = share > 0.95 ? "full" : "";
  meter.setAttribute("aria-label", known ? "share" : "share, not known");
  span.textContent = known ? `${(share * 100).toFixed(1)} %` : "–";
}

// Makes the rows of a table those of a reading; a row that stays keeps its place and its cells.
function show(table, rows, before, span, cellsOf) {
  const body = table.tBodies[0];
  const standing = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  for (const [key, row] of rows) {
    const cells = cellsOf(key, reader(row, before && before.get(key), span), row.labels);
    let line = standing.get(key);
    standing.delete(key);
    if (!line) {
      line = body.insertRow();
      line.dataset.key = key;
      line.append(...cells.map(makeCell));
    }
    cells.forEach((cell, at) => fill(line.cells[at], cell));
  }
  for (const gone of standing.values()) gone.remove();
}

async function update() {
  const response = await fetch("/metrics", { cache: "no-store" });
  if (!response.ok) throw new Error(`/metrics says ${response.status}`);
  const reading = read(parse(await response.text()), performance.now());
  const span = last ? (reading.at - last.at) / 1000 : 0;
  show(document.getElementById("cores"), reading.cores, last && last.cores, span, coreCells);
  const groups = document.getElementById("groups");
  show(groups, reading.groups, last && last.groups, span, groupCells);
  groups.hidden = reading.groups.size === 0;
  document.getElementById("no-groups").hidden = !groups.hidden;
  const omitted = document.getElementById("omitted");
  omitted.hidden = reading.omitted === 0;
  omitted.textContent = `${whole.format(reading.omitted)} more groups are not shown.`;
  last = reading;
  updates += 1;
}

// Tells how things stand; only what is new, as screen readers read it out.
function say(text) {
  const state = document.getElementById("state");
  if (state.textContent !== text) state.textContent = text;
}

async function run() {
  try {
    await update();
    document.body.classList.remove("stale");
    document.body.dataset.updates = updates;
    say(`${last.cores.size} cores, live.`);
    document.getElementById("clock").textContent = new Date().toLocaleTimeString();
  } catch (error) {
    document.body.classList.add("stale");
    say(`No figures: ${error.message}`);
  }
  setTimeout(run, PERIOD_MS);
}

run();
