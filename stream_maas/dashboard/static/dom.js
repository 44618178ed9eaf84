// Elements from data. Text is always text: nothing that a record holds is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
export const $ = (id) => document.getElementById(id);

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "data") for (const [key, item] of Object.entries(value)) { if (item != null) element.dataset[key] = item; }
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

// Replaces what is shown only when it differs, so that focus, selection and hover survive a second that changed nothing.
const shown = new WeakMap();
export function show(element, key, make) {
  const text = JSON.stringify(key);
  if (shown.get(element) === text) return;
  shown.set(element, text);
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  element.replaceChildren(...[make()].flat(Infinity).filter(Boolean));
  if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

// The value of a colour variable in the present theme.
const probe = document.createElement("span");
probe.hidden = true;
export function colour(name, alpha = 1) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = alpha === 1 ? `var(--${name})` : `color-mix(in srgb, var(--${name}) ${alpha * 100}%, transparent)`;
  return getComputedStyle(probe).color;
}

// Numbers as people read them.
export const number = (value, digits = 0) =>
  value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
export const count = (value) =>
  value >= 1e6 ? `${number(value / 1e6, 1)} M` : value >= 1e4 ? `${number(value / 1e3, 1)} k` : number(value);
export const rate = (value) => (value >= 1000 ? count(value) : number(value, value && value < 10 ? 1 : 0));
export const percent = (part, whole) => {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  return `${share === 0 || share === 100 ? share : share > 99 || share < 1 ? share.toFixed(2) : share.toFixed(1)}`;
};
export function milliseconds(ms) { // [figure, unit]
  if (ms == null) return ["–", ""];
  if (ms < 1) return [number(ms * 1000), "µs"];
  if (ms < 1000) return [number(ms, ms < 10 ? 1 : 0), "ms"];
  return duration(ms / 1000).split(" ").length > 2 ? [duration(ms / 1000), ""] : [number(ms / 1000, ms < 10_000 ? 1 : 0), "s"];
}
export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 60) return `${number(seconds, seconds < 10 && seconds % 1 ? 1 : 0)} s`;
  const [size, unit, small, rest] = seconds < 3600 ? [60, "min", 1, "s"] : seconds < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
  const whole = Math.floor(seconds / size), left = Math.floor((seconds % size) / small);
  return `${whole} ${unit}${left ? ` ${left} ${rest}` : ""}`;
}
// One unit and no more: "5 min", "1.4 h".
export function brief(seconds) {
  const [size, unit] = seconds < 60 ? [1, "s"] : seconds < 3600 ? [60, "min"] : seconds < 86400 ? [3600, "h"] : [86400, "d"];
  return `${Number((seconds / size).toFixed(1))} ${unit}`;
}
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
export const moment = (seconds) => {
  const date = new Date(seconds * 1000);
  return Date.now() - date > 20 * 3600e3 ? date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : clock(seconds);
};
