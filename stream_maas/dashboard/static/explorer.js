// The audit explorer: the latest decisions, one of them in full, and its proof checked here and not by the server.
import { $, clock, count, duration, h, milliseconds, moment, number, show } from "./dom.js";
import { STAGES } from "./charts.js";
import { checkInclusion, fromBase64, remember, toHex } from "./verify.js";

const chosen = { place: null };
let asked = 0; // decisions asked for so far: an answer that comes after a later question is dropped
const tones = { prediction: "good", degraded: "warn" };

export async function listDecisions(get) {
  const outcome = $("outcome").value;
  const { rows } = await get(`/api/decisions?limit=60${outcome ? `&outcome=${outcome}` : ""}`);
  show($("decisions"), [rows, chosen.place], () => (rows.length ? rows.map(listRow) : h("div", { class: "void" }, "No decision yet. Each request gets one: `stream-maas send`.")));
}

function listRow(row) {
  const place = `${row.partition}:${row.offset}`, spans = Object.values(row.redactions).reduce((sum, n) => sum + n, 0);
  const choose = () => { location.hash = `decision=${place}`; };
  return h("div", { class: "row", role: "option", "aria-selected": String(place === chosen.place), data: { key: place }, onclick: choose },
    h("time", null, clock(row.time_ms / 1000)), h("span", { class: "id" }, row.id),
    spans ? h("span", { class: "tag", data: { tone: "redact" } }, `${spans} redacted`) : h("span"),
    h("span", { class: "tag", data: { tone: tones[row.outcome] ?? "bad" } }, row.outcome.replaceAll("_", " ")));
}

// Up and down in the list, as in any list box.
export function stepDecision(by) {
  const rows = [...$("decisions").querySelectorAll(".row")];
  const at = rows.findIndex((row) => row.dataset.key === chosen.place);
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
  next?.click();
  next?.scrollIntoView({ block: "nearest" });
}

export async function openDecision(id, get) {
  const box = $("decision"), turn = ++asked;
  let answer;
  try { answer = await get(`/api/decision?id=${encodeURIComponent(id)}`); } catch (error) {
    box.replaceChildren(h("div", { class: "void" }, error.message));
    return;
  }
  if (turn !== asked) return;
  if (!answer.records.length) {
    box.replaceChildren(h("div", { class: "void" }, "No such decision among the latest. Without the sealer's index (ledger.folder) older ones are found by their coordinates only: topic:partition:offset of the request, or partition:offset in the audit topic."));
    return;
  }
  const record = answer.records.at(-1), bytes = fromBase64(record.value_base64);
  chosen.place = `${record.partition}:${record.offset}`;
  document.querySelectorAll("#decisions .row").forEach((row) => row.setAttribute("aria-selected", String(row.dataset.key === chosen.place)));
  let event = null;
  try { event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)); } catch { /* shown as what it is */ }
  const proof = h("div", { class: "proof", data: { state: "busy" } }, h("strong", null, "Checking the proof …"));
  box.replaceChildren(...describe(event, record, answer.records.length), proof, h("details", null, h("summary", null, "The exact bytes"),
    h("pre", null, event ? JSON.stringify(event, null, 2) : toHex(bytes))));
  await prove(record, bytes, proof, get);
}

function describe(event, record, copies) {
  const place = `${record.topic}, partition ${record.partition}, offset ${record.offset}`;
  const data = event?.data;
  if (!data?.request) return [h("h3", null, event?.type ?? "Not a decision"), h("p", { class: "note" }, place)];
  const { request, model, output, timings_us: timings, redaction, caller, batch, writer } = data;
  const types = Object.entries(redaction.counts), outcome = data.code ?? (data.degraded ? "degraded" : data.status);
  const facts = [
    ["Outcome", h("span", { class: "tag", data: { tone: tones[outcome] ?? "bad" } }, outcome.replaceAll("_", " "))],
    ["Decision", output?.label && `${output.label}${output.score_ppm === undefined ? "" : `, ${number(output.score_ppm / 1e4, 1)} %`}`],
    ["Redacted", types.length ? h("span", null, types.map(([type, n]) => [h("span", { class: "tag", data: { tone: "redact" } }, `${type} ${n}`), " "])) : "nothing found"],
    ["Policy", redaction.policy && `redaction ${redaction.policy}`],
    ["Model", model ? `${model.name} ${model.version} (${model.licence})` : request.model_name && `${request.model_name}, asked for`],
    ["Artifact", model && h("span", { class: "mono" }, `sha256 ${model.digest.slice(0, 24)}…`)],
    ["Time", `${moment(Date.parse(event.time) / 1000)}, ${milliseconds(timings.total / 1000).join(" ")} end to end`],
    ["Stages", stageBar(timings)],
    ["Caller", caller && [caller.tenant, caller.purpose].filter(Boolean).join(", ")],
    ["Input", data.input?.digest && h("span", { class: "mono" }, `${count(data.input.bytes)} bytes, keyed digest ${data.input.digest.slice(0, 12)}…`)],
    ["Batch", batch && `row ${batch.index + 1} of ${batch.size}`],
    ["Request", `${request.topic}, partition ${request.partition}, offset ${request.offset}, lane ${request.lane}`],
    ["Written by", writer && `${writer.instance}, stream_maas ${writer.build}`],
    ["Audit record", place],
  ];
  return [
    h("h3", null, request.id),
    h("p", { class: "note" }, copies > 1 ? `${copies} events have this id; this is the newest` : "what the log says about this request"),
    h("dl", null, facts.filter(([, fact]) => fact).map(([name, fact]) => [h("dt", null, name), h("dd", null, fact)])),
  ];
}

function stageBar(timings) {
  const rest = Math.max(0, timings.total - Math.max(0, timings.queue) - timings.redact - timings.infer);
  const parts = { queue: Math.max(0, timings.queue), redact: timings.redact, infer: timings.infer, other: rest };
  return h("div", null, h("div", { class: "stagebar" }, STAGES.map(([name, , tone]) => h("i", { style: { flexGrow: parts[name], background: `var(--${tone})` } }))),
    h("span", { class: "note" }, STAGES.map(([name, title]) => `${title} ${milliseconds(parts[name] / 1000).join(" ")}`).join(" · ")));
}

async function prove(record, bytes, box, get) {
  const say = (state, title, ...rest) => { box.dataset.state = state; box.replaceChildren(h("strong", null, title), ...rest); };
  let proof;
  try { proof = await get(`/api/proof?partition=${record.partition}&offset=${record.offset}`); } catch (error) {
    say("none", "Not sealed", h("p", { class: "note" }, error.message));
    return;
  }
  if (proof.unproven) {
    say("none", "Not sealed", h("p", { class: "note" }, proof.unproven));
    return;
  }
  const { valid, steps, checkpoint } = await checkInclusion(bytes, proof, record.partition);
  if (valid) steps.push(...remember(checkpoint.origin, proof.vkey, checkpoint.size, toHex(checkpoint.root)));
  const proven = valid && steps.every(({ ok }) => ok);
  say(proven ? "valid" : "invalid", proven ? "✓ Proven, by this browser" : "✗ The log was tampered with, or the proof is wrong",
    h("ol", null, steps.map(({ claim, ok, detail }) => h("li", { data: { ok: ok ? "yes" : "no" } }, claim, ok ? "" : ": no", detail ? h("span", { class: "note" }, ` — ${detail}`) : ""))));
}
