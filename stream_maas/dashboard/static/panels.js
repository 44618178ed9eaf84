// Everything beside the charts and the explorer: the verdict, tiles, alerts with their time line, budgets, lag, counts.
import { $, brief, clock, count, duration, h, milliseconds, moment, number, percent, rate, show, svg } from "./dom.js";

const OURS = new Set(["expired", "shed", "redaction_error", "model_error", "bad_output", "circuit_open", "audit_unavailable"]);
const LATE_LAG_S = 30;
const TIMELINE_ROWS = 8;

const OBJECTIVES = 12;

export const isOpen = (incident) => incident.state !== "resolved";
// What has to be looked at first: what nobody has and nothing mutes, then pages, then the newest.
const muted = (one) => Boolean(one.silenced || one.inhibited_by);
const urgency = (a, b) => muted(a) - muted(b) || (b.state === "firing") - (a.state === "firing") || (b.severity === "page") - (a.severity === "page") || b.started_at_us - a.started_at_us;
const labelText = (labels) => Object.entries(labels ?? {}).map(([name, value]) => `${name} ${value}`).join(", ");
const figure = (value, unit) => `${Math.abs(value) >= 100 ? number(value) : Number(value.toPrecision(3))} ${unit}`;

export function drawVerdict(state, stale) {
  const { beat } = state;
  const open = [...state.incidents.values()].filter(isOpen).sort(urgency), firing = open.filter(({ state: now }) => now === "firing");
  const all = beat.views.all ?? {}, lag = Math.max(0, ...beat.lag.map(({ seconds }) => seconds ?? 0));
  const traffic = all.requests
    ? `${count(all.requests)} answers in ${Math.round(all.length_s / 60)} minutes, ${percent(all.requests - all.failed, all.requests)} % of them not failed by us.`
    : "No answers in the last five minutes.";
  const say = (tone, title, text) => ({ tone, title, text });
  let verdict = say("good", "All quiet", traffic);
  if (beat.monitor.state === "absent") verdict = say("unknown", "No monitor", `${traffic} Nobody watches for alerts.`);
  if (lag > LATE_LAG_S) verdict = say("warn", "Answers are late", `A request has been waiting for ${duration(lag)}. ${traffic}`);
  if (open.length) verdict = say("warn", `${open.length} open, none firing`, open[0].summary);
  if (beat.monitor.state === "silent") verdict = say("warn", "The monitor is silent", `No sign of life for ${duration(beat.monitor.age_s)}: what is shown as quiet may not be.`);
  if (firing.length) verdict = say("firing", `${firing.length} alert${firing.length > 1 ? "s" : ""} firing`, firing[0].summary);
  if (stale) verdict = say("unknown", "Out of date", "Nothing arrives from the server; what follows is the past.");
  show($("verdict"), verdict, () => [h("h1", null, verdict.title), h("p", null, verdict.text)]);
  $("verdict").dataset.state = verdict.tone;
  document.title = `${firing.length && !stale ? `(${firing.length}) ` : ""}${verdict.title} · stream_maas`;
}

export function drawTiles(state) {
  const view = state.beat.views[state.view] ?? {}, waiting = state.beat.lag.filter(({ records }) => records);
  const worst = Math.max(0, ...state.beat.lag.map(({ seconds }) => seconds ?? 0));
  const lagRecords = waiting.reduce((sum, { records }) => sum + records, 0);
  const requests = view.requests ?? 0, minutes = "5 min";
  const tiles = [
    ["Answers", rate(state.rate), "/s", `${count(requests)} in ${minutes}`],
    ["Median", ...milliseconds(view.p50), `p90 ${milliseconds(view.p90).join(" ")}`],
    ["p99", ...milliseconds(view.p99), `max ${milliseconds(view.max || null).join(" ")}`],
    ["Failed", percent(view.failed, requests), requests ? "%" : "", `${count(view.failed ?? 0)} in ${minutes}`, view.failed ? "bad" : null],
    ["Refused", percent(view.refused, requests), requests ? "%" : "", `${count(view.refused ?? 0)} in ${minutes}`],
    ["Waiting", ...(worst < 1 ? ["0", "s"] : [duration(worst), ""]), `${count(lagRecords)} requests`, worst > LATE_LAG_S ? "warn" : null],
  ];
  show($("tiles"), tiles, () => tiles.map(([name, value, unit, sub, tone]) =>
    h("div", { data: { tone } }, h("dt", null, name), h("dd", null, value, h("small", null, unit)), h("div", { class: "sub" }, sub))));
}

export function drawAlerts(state, act) {
  const monitor = state.beat.monitor, incidents = [...state.incidents.values()];
  const notes = {
    absent: "no monitor has reported yet: start one with `stream-maas monitor`",
    silent: `the monitor has been silent for ${duration(monitor.age_s)}`,
    alive: `watched up to ${monitor.heartbeat.watermark_us ? clock(monitor.heartbeat.watermark_us / 1e6) : "now"}`,
  };
  $("monitor").textContent = notes[monitor.state];
  const open = incidents.filter(isOpen).sort(urgency);
  const over = incidents.filter((one) => !isOpen(one)).sort((a, b) => b.at_us - a.at_us);
  const listed = [...open, ...over.slice(0, state.moreAlerts ? 50 : 3)];
  show($("alerts"), [listed, state.role, state.moreAlerts], () => [
    listed.length ? listed.map((incident) => alertRow(incident, state.role === "operator", act)) : h("div", { class: "void" }, "No alert in what the log holds."),
    over.length > 3 && h("button", { class: "more", type: "button", onclick: () => { state.moreAlerts = !state.moreAlerts; drawAlerts(state, act); } },
      state.moreAlerts ? "Show fewer" : `${over.length - 3} more that are over`),
  ]);
  show($("silences"), [monitor.silences, state.role], () => monitor.silences.map((silence) => h("span", { class: "silence" },
    `Silenced until ${moment(silence.ends_at_us / 1e6)} by ${silence.by}: ${labelText(silence.matchers)}`,
    state.role === "operator" && h("button", { type: "button", onclick: () => act("unsilence", silence) }, "End"))));
  drawTimeline(incidents, state.beat.now_s);
}

function alertRow(incident, operator, act) {
  const { steps } = incident;
  const begun = incident.started_at_us / 1e6, last = steps.at(-1);
  return h("div", { class: "alert", tabindex: 0, data: { state: incident.state, muted: isOpen(incident) && muted(incident) ? "yes" : null, key: incident.incident_id } },
    h("span", { class: "badge", data: { state: incident.state } }, incident.state),
    h("div", null, h("p", null, incident.summary),
      h("div", { class: "facts" },
        h("span", null, incident.rule), labelText(incident.labels) && h("span", null, labelText(incident.labels)),
        h("span", null, `${figure(incident.value, incident.unit)}, limit ${figure(incident.threshold, "")}`),
        h("span", null, `since ${moment(begun)}`),
        incident.state === "resolved" && h("span", null, `${incident.reason?.replace("_", " ")} at ${moment(last.at_us / 1e6)}`),
        h("span", null, incident.severity),
        incident.silenced && h("span", { class: "tag" }, "silenced"),
        isOpen(incident) && incident.inhibited_by && h("span", { class: "tag" }, `muted by ${incident.inhibited_by}`),
        incident.evidence?.length > 0 && h("a", { href: `#decision=${incident.evidence[0].partition}:${incident.evidence[0].offset}` }, "evidence"))),
    operator && isOpen(incident) && h("div", { class: "buttons" },
      incident.state === "firing" && h("button", { type: "button", data: { act: "acknowledge" }, onclick: () => act("acknowledge", incident) }, "Acknowledge"),
      h("button", { type: "button", class: "quiet", data: { act: "silence" }, onclick: () => act("silence", incident) }, "Silence")));
}

// One row per rule and labels; a bar from the first breach to the end, its colours following the life cycle.
function drawTimeline(incidents, nowS) {
  const box = $("timeline"), rows = new Map();
  const newest = incidents.toSorted((a, b) => b.at_us - a.at_us);
  for (const incident of newest) {
    const name = [incident.rule, labelText(incident.labels)].filter(Boolean).join(" · ");
    if (rows.size < TIMELINE_ROWS || rows.has(name)) rows.set(name, [...(rows.get(name) ?? []), incident]);
  }
  const width = Math.round(box.parentElement.clientWidth) - 36, first = Math.min(nowS - 900, ...[...rows.values()].flat().map((one) => one.started_at_us / 1e6));
  const start = Math.max(first - 60, nowS - 7 * 86400), height = rows.size * 34 + 20;
  show(box, [incidents, width, Math.floor(nowS / 5)], () => {
    if (!rows.size || width < 50) return null;
    const x = (seconds) => Math.max(0, Math.min(width, (width * (seconds - start)) / (nowS - start)));
    const ticks = Array.from({ length: width < 500 ? 3 : 6 }, (_, i, all = width < 500 ? 3 : 6) => start + ((nowS - start) * i) / all);
    return svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": "Time line of alerts" },
      ticks.map((t) => [svg("line", { class: "grid-line", x1: x(t), x2: x(t), y1: 0, y2: height - 16 }), svg("text", { x: x(t) + 3, y: height - 3 }, moment(t))]),
      svg("text", { x: width, y: height - 3, "text-anchor": "end" }, "now"),
      [...rows].map(([name, several], row) => [
        svg("text", { x: 3, y: row * 34 + 11 }, name),
        several.map((incident) => phases(incident, nowS).map(([phase, from, to]) =>
          svg("rect", { class: `span ${phase}${isOpen(incident) ? "" : " over"}`, x: x(from), y: row * 34 + 16, width: Math.max(3, x(to) - x(from)), height: 9, rx: 3 },
            svg("title", null, `${phase} ${moment(from)} to ${moment(to)}`)))),
      ]));
  });
}

function phases(incident, nowS) {
  const parts = [];
  let phase = "pending", from = incident.started_at_us / 1e6;
  for (const { event, at_us } of incident.steps) {
    const at = at_us / 1e6, next = { pending: "pending", firing: "firing", acknowledged: "acknowledged", escalated: "firing", resolved: null }[event];
    if (next === undefined || next === phase) continue;
    if (at > from) parts.push([phase, from, at]);
    [phase, from] = [next, at];
    if (phase === null) return parts;
  }
  return [...parts, [phase, from, nowS]];
}

const bar = (name, share, value, tone, mark) => h("div", { class: "row" }, h("span", { title: name }, name),
  h("span", { class: "track", data: { tone } }, h("i", { style: { width: `${Math.min(100, 100 * share)}%` } }), mark != null && h("u", { style: { left: `${100 * mark}%` } })),
  h("span", null, value));

export function drawBars(id, entries, { empty, tone }) {
  const most = Math.max(1, ...entries.map(([, value]) => value));
  show($(id), entries, () => (entries.length
    ? entries.slice(0, 8).map(([name, value]) => bar(name.replaceAll("_", " ").toLowerCase(), value / most, count(value), typeof tone === "function" ? tone(name) : tone))
    : h("div", { class: "empty" }, empty)));
}
export const codeTone = (code) => (OURS.has(code) ? "bad" : "warn");

export function drawLag(lag) {
  const rows = lag.map(({ topic, partition, records, seconds }) => [`${topic.split(".").slice(1).join(".")}:${partition}`, seconds, records]);
  const late = rows.toSorted((a, b) => (b[1] ?? 0) - (a[1] ?? 0)).slice(0, 12).sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
  const scale = Math.max(10, ...rows.map(([, seconds]) => seconds ?? 0));
  show($("lag"), late.map(([name, seconds, records]) => [name, Math.round(seconds ?? -1), records, Math.round(scale)]), () => (late.length
    ? late.map(([name, seconds, records]) => bar(name, (seconds ?? 0) / scale, records === null ? "unknown" : records ? duration(seconds) : "none", seconds > LATE_LAG_S ? "bad" : seconds > 5 ? "warn" : "good"))
    : h("div", { class: "empty" }, "No request topic is known yet")));
}

// One block for each objective and what it is kept for; the rules that watch it are its rows.
export function drawSlos(monitor) {
  const slos = monitor.heartbeat.slos ?? [], objectives = new Map();
  for (const slo of slos) {
    const name = slo.slo ?? slo.rule, key = [name, labelText(slo.labels)].join(" ");
    objectives.set(key, { name, labels: slo.labels, rules: [...(objectives.get(key)?.rules ?? []), slo] });
  }
  const left = ({ rules }) => rules.toSorted((a, b) => a.windows.at(-1).length_ms - b.windows.at(-1).length_ms).at(-1).budget_left_ratio ?? 2;
  const worst = [...objectives.values()].sort((a, b) => left(a) - left(b));
  $("slos-note").textContent = worst.length > OBJECTIVES ? `the ${OBJECTIVES} with the least budget left, of ${worst.length}` : "how fast each window uses up the budget, and what is left of it";
  show($("slos"), [slos, monitor.state], () => {
    if (!worst.length) return h("div", { class: "void" }, monitor.state === "absent" ? "Burn rates come from a monitor." : "The monitor has no objective with events yet.");
    return worst.slice(0, OBJECTIVES).map((objective) => objectiveBlock(objective, left(objective)));
  });
}

const whose = (labels) => Object.entries(labels ?? {}).map(([name, value]) => (name === "lane" || name === "tenant" ? `${name} ${value}` : value)).join(" ") || "the service";
function objectiveBlock({ name, labels, rules }, left) {
  const known = left <= 1, tone = !known ? null : left > 0.5 ? "good" : left > 0.1 ? "warn" : "bad";
  const { objective } = rules[0];
  return h("div", { class: "slo" },
    h("header", null, h("span", null, h("b", null, whose(labels)), ` ${name}`), h("span", { class: "note" }, `${Number((100 * objective).toFixed(3))} % good`)),
    h("div", { class: "track", data: { tone } }, h("i", { style: { width: `${known ? 100 * Math.max(0, left) : 0}%` } })),
    h("p", { class: "left", data: { tone } }, known ? `${number(100 * Math.max(0, left), 1)} % of the budget left` : "no events yet"),
    h("div", { class: "burns" }, rules.map((rule) => burnRow(rule))));
}

// "fast", its limit, and the burn rate of the short and the long window: it fires when both are above the limit.
function burnRow({ rule, threshold, windows, state }) {
  const above = windows.filter(({ burn_rate }) => burn_rate >= threshold).length;
  const tone = state === "firing" ? "bad" : state === "insufficient_data" ? "none" : above ? "warn" : null;
  const cell = ({ length_ms, burn_rate }) => h("span", null, burn_rate == null ? "–" : `${number(burn_rate, burn_rate < 100 ? 1 : 0)} ×`, h("small", null, ` ${brief(length_ms / 1000)}`));
  return h("div", { class: "burn", data: { tone }, title: state === "insufficient_data" ? "too few events to tell" : `fires when both windows are above ${threshold} ×` },
    h("span", null, rule.split(":").at(-1), threshold != null && h("small", null, ` limit ${threshold} ×`)), windows.map(cell));
}
