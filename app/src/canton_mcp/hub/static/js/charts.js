// Lines over time, one per server, and the same as a table for whoever does not see them.

import { h, patch } from "./dom.js";
import { clock, exact, known, ms, name, rate } from "./format.js";
import { table, term } from "./pieces.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";

/** @typedef {import("./report.js").Report} Report */

const MOST_LINES = 8;
const HEIGHT = 190;
// Lines differ by dashes as well as by colour.
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [14, 4], [1, 4], [6, 2, 1, 2, 1, 2]];

// Distances of time marks, in seconds: whole minutes, as the clock shows them.
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720].map((minutes) => minutes * 60);

/** @param {string} variable */
const colour = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

/** The servers whose lines are drawn: those in trouble and then the busiest, in a steady order. @param {Report} report */
function chosen(report) {
  const drawn = report.servers.filter((server) => server.state !== "never" && server.sid in report.series.calls);
  const most = drawn.length > MOST_LINES
    ? [...drawn].sort((left, right) => Number(right.state === "silent") - Number(left.state === "silent") || right.calls - left.calls || left.sid.localeCompare(right.sid)).slice(0, MOST_LINES)
    : drawn;
  return most.map((server) => server.sid).sort((left, right) => left.localeCompare(right, "en", { numeric: true }));
}

export class Chart {
  /**
   * @param {HTMLElement} root
   * @param {{title: string, unit: string, values: (report: Report, sid: string) => (number | null)[], text: (value: unknown) => string}} options
   */
  constructor(root, options) {
    this.root = root;
    this.options = options;
    this.title = document.createElement("figcaption");
    this.canvas = document.createElement("div");
    this.canvas.className = "canvas";
    this.canvas.setAttribute("role", "img");
    this.legend = document.createElement("ul");
    this.legend.className = "legend";
    this.table = document.createElement("details");
    this.table.className = "values";
    root.append(this.title, this.canvas, this.legend, this.table);
    /** @type {any} */
    this.plot = null;
    this.drawn = "";
    /** @type {number | null} */
    this.hovered = null;
    /** @type {Report | null} */
    this.report = null;
    /** @type {string[]} */
    this.order = [];
    new ResizeObserver(() => this.plot?.setSize({ width: this.canvas.clientWidth, height: HEIGHT })).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.drawn = "";
      if (this.report) this.draw(this.report);
    });
    this.table.addEventListener("toggle", () => this.describe());
  }

  /** @param {Report} report */
  draw(report) {
    this.report = report;
    const sids = chosen(report);
    // The running step is left out: its calls are not all there yet.
    const steps = Math.max(0, ...sids.map((sid) => report.series.calls[sid].length - 1));
    const times = Array.from({ length: steps }, (_, at) => report.series.start + at * report.series.step_seconds);
    /** @type {any} */
    const data = [times, ...sids.map((sid) => this.options.values(report, sid).slice(0, steps))];
    const drawn = sids.join("\n");
    if (!sids.length || !this.canvas.clientWidth) {
      this.plot?.destroy();
      this.plot = null;
      this.drawn = "";
    } else if (!this.plot || drawn !== this.drawn) {
      this.plot?.destroy();
      this.plot = new uPlot(this.setup(sids), data, this.canvas);
      this.drawn = drawn;
      this.order = sids;
    } else {
      this.plot.setData(data);
    }
    this.root.hidden = !sids.length;
    this.describe();
  }

  /** @param {string[]} sids @returns {uPlot.Options} */
  setup(sids) {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    return {
      width: this.canvas.clientWidth,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 6 } },
      scales: { y: { range: (/** @type {any} */ _, /** @type {number | null} */ low, /** @type {number | null} */ high) => [0, Math.max(1, (high ?? 1) * 1.1)] } },
      axes: [
        { ...axis, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((time) => (this.report ? clock(time, this.report.at) : "")), space: 48, size: 28, incrs: STEPS },
        { ...axis, size: 56, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((value) => this.options.text(value)) },
      ],
      series: [{}, ...sids.map((sid, at) => ({ label: name(sid), stroke: colour(`--line-${at + 1}`), width: 2, dash: DASHES[at], points: { show: false, size: 5, filter: alone }, spanGaps: false }))],
      hooks: { setCursor: [(/** @type {any} */ plot) => { this.hovered = plot.cursor.idx ?? null; this.caption(); }] },
    };
  }

  /** Title and legend: the newest values, or those under the pointer. */
  caption() {
    const report = this.report;
    if (!report) return;
    const sids = chosen(report);
    const all = Object.keys(report.series.calls).length;
    const at = this.hovered;
    const time = at === null ? "" : `, at ${exact(report.series.start + at * report.series.step_seconds)}`;
    patch(this.title, h("b", null, this.options.title), ` ${this.options.unit}${time}${all > sids.length ? `; ${sids.length} of ${all} servers, filter to choose others` : ""}`);
    patch(this.legend, sids.map((sid, line) => {
      const values = this.options.values(report, sid);
      return h("li", { key: sid },
        h("svg", { class: "stroke", viewBox: "0 0 26 8", "aria-hidden": "true" }, h("line", { x1: 0, y1: 4, x2: 26, y2: 4, "stroke-dasharray": DASHES[line].join(" "), class: `line-${line + 1}` })),
        term(sid), h("span", { class: "value" }, this.options.text(at === null ? newest(values) : values[at])));
    }));
  }

  describe() {
    const report = this.report;
    if (!report) return;
    this.caption();
    const sids = chosen(report);
    const rows = sids.map((sid) => {
      const values = this.options.values(report, sid).filter(known);
      return { sid, newest: newest(this.options.values(report, sid)), least: values.length ? Math.min(...values) : null, most: values.length ? Math.max(...values) : null };
    });
    const text = rows.map((row) => `${name(row.sid)} ${this.options.text(row.newest)}`).join(", ");
    this.canvas.setAttribute("aria-label", `${this.options.title} over time, ${this.options.unit}; newest: ${text}`);
    patch(this.table, h("summary", null, "As a table"), this.table.open && table(this.options.title, [
      { head: "Server", cell: (row) => term(row.sid) },
      { head: "Newest", cell: (row) => this.options.text(row.newest), number: true },
      { head: "Least", cell: (row) => this.options.text(row.least), number: true },
      { head: "Most", cell: (row) => this.options.text(row.most), number: true },
    ], rows, (row) => row.sid));
  }
}

/** The value of now: of the last full steps, as the running one is not over yet. @param {(number | null)[]} values */
const newest = (values) => values.slice(-4, -1).findLast(known) ?? null;

/** Values without a neighbour, which a line alone would not show. @param {any} plot @param {number} line */
function alone(plot, line) {
  const values = plot.data[line];
  return [...values.keys()].filter((at) => known(values[at]) && !known(values[at - 1]) && !known(values[at + 1]));
}

/** @param {HTMLElement} calls @param {HTMLElement} p95 */
export const charts = (calls, p95) => [
  new Chart(calls, { title: "Calls per minute", unit: "by server", text: rate, values: (report, sid) => perMinute(report, report.series.calls[sid]) }),
  new Chart(p95, { title: "p95", unit: "of the call time by server", text: ms, values: (report, sid) => report.series.p95_ms[sid] ?? [] }),
];

/** Unknown before the hub's statistics begin. @param {Report} report @param {(number | null)[]} values */
const perMinute = ({ series, since }, values) => values.map((value, at) =>
  (value === null || series.start + (at + 1) * series.step_seconds <= since ? null : (value * 60) / series.step_seconds));
