// Three time series with uPlot: answers per second, latency percentiles, mean time per stage.
import { $, colour, h, milliseconds, rate, show } from "./dom.js";

const BUCKET_S = 5;
const { uPlot } = window;

// Areas are stacked from the first name up; each has one colour everywhere on the page.
export const OUTCOMES = [["ok", "served", "good"], ["degraded", "degraded", "p90"], ["refused", "refused", "warn"], ["failed", "failed", "bad"]];
export const STAGES = [["queue", "queue", "queue"], ["redact", "redact", "redact"], ["infer", "infer", "infer"], ["other", "batch + publish", "other"]];
const PERCENTILES = [["p50", "p50", "p50"], ["p90", "p90", "p90"], ["p99", "p99", "p99"]];

// A single answer between silent buckets is no line; it is drawn as a point.
const isolated = (plot, series) => plot.data[series].flatMap((value, i, all) => (value != null && all[i - 1] == null && all[i + 1] == null ? [i] : []));

// Round numbers of a logarithmic axis: powers of ten, with 2 and 5 in between where there are few.
function decades(_plot, _axis, low, high) {
  const places = Array.from({ length: 12 }, (_, exponent) => 10 ** (exponent - 4)), inside = (list) => list.filter((value) => value >= low && value <= high);
  const powers = inside(places);
  return powers.length > 2 ? powers : inside(places.flatMap((power) => [power, 2 * power, 5 * power]));
}

const asRate = (value) => (value == null ? "–" : `${rate(value)}/s`);
const asTime = (value) => milliseconds(value).join(" ").trim();

class Chart {
  constructor(id, series, { stacked = false, logarithmic = false, label }) {
    this.box = $(id);
    this.legend = $(`${id}-legend`);
    this.series = series;
    this.stacked = stacked;
    this.logarithmic = logarithmic; // latencies of one service span decades; a bad minute must not flatten all others
    this.label = label;
    this.cursor = null;
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.box);
  }

  size() { return { width: this.box.clientWidth, height: this.box.clientHeight }; }

  options() {
    const axis = { stroke: colour("soft"), font: "11px ui-sans-serif, system-ui, sans-serif", ticks: { show: false }, grid: { stroke: colour("line"), width: 1 } };
    const bands = this.stacked
      ? this.series.map(([, , tone], place) => ({ series: place ? [place + 1, place] : [1, -1], fill: colour(tone, 0.85) })).slice(1)
      : [];
    return {
      ...this.size(), padding: [8, 4, 0, 0], legend: { show: false }, bands,
      cursor: { drag: { x: false, y: false }, points: { size: 6 }, sync: { key: "page" } },
      scales: { x: { time: true }, y: this.logarithmic
        ? { distr: 3, range: (_, low, high) => [(low || 1) / 1.6, (high || 1) * 1.6] }
        : { range: (_, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 28, values: (_, at) => at.map((t) => new Date(t * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: at[1] - at[0] < 60 ? "2-digit" : undefined })) },
        { ...axis, ...(this.logarithmic && { splits: decades, filter: (_, at) => at }), size: 58, space: 34, values: (_, at) => at.map((value) => (value == null ? "" : this.label(value))) },
      ],
      series: [{}, ...this.series.map(([, , tone], place) => ({
        stroke: this.stacked ? undefined : colour(tone), width: 1.8, spanGaps: false, points: { show: !this.stacked, size: 5, filter: isolated, fill: colour(tone) },
        paths: this.stacked ? uPlot.paths.stepped({ align: 1 }) : undefined,
        fill: this.stacked && place === 0 ? colour(tone, 0.85) : undefined,
      }))],
      hooks: { setCursor: [(plot) => { this.cursor = plot.cursor.idx; this.write(); }] },
    };
  }

  // `values`: one list per series, as long as `times`.
  draw(times, values, range) {
    this.values = values;
    const empty = !values.some((list) => list.some((value) => value));
    if (empty) {
      this.plot?.destroy();
      this.plot = null;
      show(this.box, "empty", () => h("div", { class: "empty" }, "Nothing in this range yet"));
      this.legend.replaceChildren();
      return;
    }
    let sums = times.map(() => 0);
    const drawn = this.stacked ? values.map((list) => (sums = sums.map((sum, place) => sum + (list[place] ?? 0)))) : values;
    if (!this.plot) {
      show(this.box, Math.random(), () => []);
      this.plot = new uPlot(this.options(), [times, ...drawn], this.box);
    }
    this.plot.batch(() => {
      this.plot.setData([times, ...drawn]);
      this.plot.setScale("x", { min: range[0], max: range[1] });
    });
    this.write();
  }

  // The figures under the cursor, or the newest ones.
  write() {
    if (!this.values) return;
    const place = this.cursor ?? this.values[0].length - 2;
    this.legend.replaceChildren(...this.series.map(([, name, tone], index) =>
      h("span", null, h("i", { style: { background: `var(--${tone})` } }), name, h("b", null, this.label(this.values[index][place])))));
  }

  restyle() { this.plot?.destroy(); this.plot = null; }
}

const charts = {
  rate: new Chart("rate", OUTCOMES, { stacked: true, label: asRate }),
  latency: new Chart("latency", PERCENTILES, { logarithmic: true, label: asTime }),
  stages: new Chart("stages", STAGES, { stacked: true, label: asTime }),
};

// Columns of one view -> all three charts, over a grid without holes: no answer is zero per second, not a straight line.
export function drawCharts(columns, nowS, rangeS) {
  const end = Math.floor(nowS / BUCKET_S) * BUCKET_S, start = end - Math.floor(rangeS / BUCKET_S) * BUCKET_S;
  const times = [];
  for (let t = start; t <= end; t += BUCKET_S) times.push(t); // the last one is where the last bucket ends
  const places = new Map((columns.t ?? []).map((t, place) => [t, place]));
  const pick = (name, otherwise, scale = 1) => {
    const values = times.slice(0, -1).map((t) => (places.has(t) ? columns[name][places.get(t)] : null))
      .map((value) => (value == null ? otherwise : value * scale));
    return [...values, otherwise === null ? null : values.at(-1)];
  };
  charts.rate.draw(times, OUTCOMES.map(([name]) => pick(name, 0, 1 / BUCKET_S)), [start, end]);
  charts.latency.draw(times, PERCENTILES.map(([name]) => pick(name, null)), [start, end]);
  charts.stages.draw(times, STAGES.map(([name]) => pick(name, 0)), [start, end]);
}
export const restyleCharts = () => Object.values(charts).forEach((chart) => chart.restyle());

// Sums of a {name: count} column over the range, largest first.
export function tally(columns, name, nowS, rangeS) {
  const sums = new Map();
  (columns.t ?? []).forEach((t, place) => {
    if (t < nowS - rangeS) return;
    for (const [key, value] of Object.entries(columns[name][place])) sums.set(key, (sums.get(key) ?? 0) + value);
  });
  return [...sums].sort((a, b) => b[1] - a[1]);
}
