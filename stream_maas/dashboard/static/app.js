// The page's life: load once, follow the stream, draw once a second, and say so when it no longer knows.
import { $, duration, h, show } from "./dom.js";
import { drawCharts, restyleCharts, tally } from "./charts.js";
import { listDecisions, openDecision, stepDecision } from "./explorer.js";
import { codeTone, drawAlerts, drawBars, drawLag, drawSlos, drawTiles, drawVerdict } from "./panels.js";

const RANGES = [["5 min", 300], ["15 min", 900], ["1 hour", 3600]];
const LATE_S = 4, STALE_S = 10, DECISIONS_MS = 2000;
const state = {
  beat: null, incidents: new Map(), columns: {}, view: "all", range: 300, role: null, rate: 0, heardAt: 0, moreAlerts: false, beats: [],
};

let source = null; // the stream of news, an EventSource

// Talking to the server -------------------------------------------------------------------------------------------

async function get(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  const document_ = await response.json();
  if (response.status === 401) {
    source?.close();
    askForToken();
  }
  if (!response.ok) throw Object.assign(new Error(document_.error ?? `the server answered ${response.status}`), { status: response.status });
  return document_;
}
async function post(path, body) {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const document_ = await response.json();
  if (!response.ok) throw new Error(document_.error ?? `the server answered ${response.status}`);
  return document_;
}

async function load() {
  source?.close();
  const snapshot = await get("/api/snapshot");
  Object.assign(state, { role: snapshot.role, columns: { all: snapshot.columns }, beat: snapshot.beat, heardAt: performance.now() });
  state.incidents = new Map(snapshot.incidents.map((incident) => [incident.incident_id, incident]));
  $("prefix").textContent = snapshot.prefix;
  $("sign-out").hidden = !snapshot.signed_in;
  if (state.view !== "all") await loadView(state.view);
  // The browser comes back by itself and says with Last-Event-ID what it has; `last_id` is for the first time.
  source = new EventSource(`/api/stream?last_id=${encodeURIComponent(snapshot.last_id)}`);
  source.addEventListener("beat", ({ data }) => onBeat(JSON.parse(data)));
  source.addEventListener("incident", ({ data }) => onIncident(JSON.parse(data)));
  source.addEventListener("reset", () => start());
  // It comes back by itself after a broken connection, but not after an answer that is no stream.
  source.addEventListener("error", ({ target }) => target === source && target.readyState === EventSource.CLOSED && setTimeout(start, 2000));
  draw();
}
function start() { load().catch(({ status }) => status !== 401 && setTimeout(start, 2000)); }

function onBeat(beat) {
  state.heardAt = performance.now();
  state.beat = beat;
  state.beats = [...state.beats, [beat.now_s, beat.events]].slice(-6);
  const [[then, before], [now, after]] = [state.beats[0], state.beats.at(-1)];
  state.rate = now > then ? (after - before) / (now - then) : 0;
  for (const [view, rows] of Object.entries(beat.rows)) if (state.columns[view]) rows.forEach((row) => merge(state.columns[view], row));
  if (!document.hidden) draw();
}

// Rows come again while their bucket still fills; columns stay sorted by time.
function merge(columns, row) {
  let place = columns.t.length;
  while (place > 0 && columns.t[place - 1] >= row.t) place--;
  const known = columns.t[place] === row.t ? 1 : 0;
  for (const name of Object.keys(columns)) columns[name].splice(place, known, row[name]);
}

function onIncident(incident) {
  state.incidents.set(incident.incident_id, incident);
  draw();
}

async function loadView(view) {
  state.columns[view] = await get(`/api/columns?view=${encodeURIComponent(view)}`);
}

// Drawing ---------------------------------------------------------------------------------------------------------

function freshness() {
  const age = (performance.now() - state.heardAt) / 1000;
  const kind = !state.beat ? "none" : age > STALE_S ? "stale" : age > LATE_S ? "late" : "live";
  const words = { none: "connecting", live: "live", late: `${duration(Math.round(age))} ago`, stale: `stale: last news ${duration(Math.round(age))} ago` };
  $("freshness").dataset.state = kind;
  show($("freshness").lastElementChild, words[kind], () => words[kind]);
  document.body.classList.toggle("stale", kind === "stale");
  return kind;
}

function drawBanner(kind) {
  const { troubles = {}, unread = {} } = state.beat ?? {};
  let text = "", tone = "bad";
  if (kind === "stale") text = "This page is out of date: the server does not answer. It goes on by itself when it can.";
  else if (troubles.audit || troubles.alerts) text = `The server cannot read from Kafka: ${troubles.audit ?? troubles.alerts}`;
  else if ((unread.audit ?? 0) > 20_000) [text, tone] = [`Still reading: ${unread.audit.toLocaleString("en")} audit events to go.`, "warn"];
  $("banner").hidden = !text;
  $("banner").dataset.kind = tone;
  show($("banner"), text, () => text);
}

function draw() {
  const kind = freshness();
  drawBanner(kind);
  if (!state.beat) return;
  drawVerdict(state, kind === "stale");
  drawTiles(state);
  drawAlerts(state, act);
  drawSwitches();
  const columns = state.columns[state.view] ?? {}, now = state.beat.now_s;
  drawCharts(columns, now, state.range);
  drawBars("codes", tally(columns, "codes", now, state.range), { empty: "Nothing was refused and nothing failed", tone: codeTone });
  drawBars("redactions", tally(columns, "types", now, state.range), { empty: "No personal data found in this range", tone: "redact" });
  drawLag(state.beat.lag);
  drawSlos(state.beat.monitor);
  show($("foot"), state.beat.events, () => `${state.beat.events.toLocaleString("en")} decisions read since this page's server started.`);
}

const viewName = (view) => (view === "all" ? "everything" : view.replace(/^(lane|model):/, (_, kind) => (kind === "lane" ? "lane " : "")));
function drawSwitches() {
  const views = Object.keys(state.beat.views).sort((a, b) => (a !== "all") - (b !== "all") || b.localeCompare(a));
  const group = (id, entries, chosen, choose) => show($(id), [entries, chosen], () => entries.map(([name, value]) =>
    h("button", { type: "button", role: "radio", "aria-checked": String(value === chosen), data: { key: name }, onclick: () => choose(value) }, name)));
  group("views", views.map((view) => [viewName(view), view]), state.view, chooseView);
  group("ranges", RANGES, state.range, (range) => { state.range = range; draw(); });
}
async function chooseView(view) {
  state.view = view;
  draw();
  if (!state.columns[view]) { await loadView(view); draw(); }
}

// Acting ----------------------------------------------------------------------------------------------------------

const titles = { acknowledge: "Acknowledge", silence: "Silence", unsilence: "End the silence" };
function act(kind, subject) {
  const dialog = $("act");
  $("act-title").textContent = titles[kind];
  $("act-what").textContent = subject.summary ?? Object.entries(subject.matchers).map(([name, value]) => `${name} ${value}`).join(", ");
  $("act-by").value = localStorage.getItem("by") ?? "";
  $("act-comment").value = "";
  $("act-problem").textContent = "";
  $("act-silence").hidden = kind !== "silence";
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const by = $("act-by").value.trim(), comment = $("act-comment").value.trim();
    const bodies = {
      acknowledge: () => ({ incident_id: subject.incident_id, by, comment }),
      silence: () => ({ matchers: { rule: subject.rule, ...subject.labels }, duration_ms: Number($("act-duration").value) * 60_000, by, comment }),
      unsilence: () => ({ silence_id: subject.command_id, by }),
    };
    try {
      await post(`/api/command/${kind}`, bodies[kind]());
      localStorage.setItem("by", by);
      dialog.close();
    } catch (error) { $("act-problem").textContent = error.message; }
  };
  dialog.showModal();
}

function askForToken() {
  const dialog = $("sign-in");
  if (dialog.open) return;
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await post("/api/sign-in", { token: $("token").value });
      $("token").value = "";
      dialog.close();
      start();
    } catch (error) { $("sign-in-problem").textContent = error.message; }
  };
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
}

// Theme, keys, links ----------------------------------------------------------------------------------------------

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  restyleCharts();
  draw();
}
function toggleTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light"), next = now === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  setTheme(next);
}

function stepAlert(by) {
  const rows = [...document.querySelectorAll("#alerts .alert")];
  const next = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(document.activeElement) + by))];
  next?.focus();
}
const cycle = (list, now) => list[(list.indexOf(now) + 1) % list.length];
const keys = {
  "/": () => $("query").focus(),
  "?": () => $("help").showModal(),
  t: toggleTheme,
  j: () => stepAlert(1),
  k: () => stepAlert(-1),
  a: () => document.activeElement.querySelector?.('[data-act="acknowledge"]')?.click(),
  s: () => document.activeElement.querySelector?.('[data-act="silence"]')?.click(),
  r: () => { state.range = cycle(RANGES.map(([, range]) => range), state.range); draw(); },
  v: () => chooseView(cycle(Object.keys(state.beat.views), state.view)),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (document.activeElement === $("decisions") && ["ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    stepDecision(event.key === "ArrowDown" ? 1 : -1);
  } else if (!event.target.closest("input, select, textarea") && keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

function openFromLink() {
  const match = /^#decision=(.+)$/.exec(location.hash);
  if (match) openDecision(decodeURIComponent(match[1]), get);
}

addEventListener("hashchange", openFromLink);
addEventListener("resize", () => state.beat && draw());
document.addEventListener("visibilitychange", () => !document.hidden && state.beat && draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme());
$("theme").addEventListener("click", toggleTheme);
$("help-open").addEventListener("click", () => $("help").showModal());
$("sign-out").addEventListener("click", async () => { await post("/api/sign-out", {}); location.reload(); });
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = $("query").value.trim();
  if (id) location.hash = `decision=${encodeURIComponent(id)}`;
});
$("outcome").addEventListener("change", () => listDecisions(get));
document.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
setInterval(() => { const kind = freshness(); if (kind !== "live") { drawBanner(kind); if (state.beat) drawVerdict(state, kind === "stale"); } }, 1000);
setInterval(() => { if (!document.hidden && freshness() === "live") listDecisions(get).catch(() => {}); }, DECISIONS_MS);
start();
openFromLink();
