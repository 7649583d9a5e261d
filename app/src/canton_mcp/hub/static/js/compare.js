// The same tool on each server, side by side: a server's average misleads when its mix of tools differs.

import { h } from "./dom.js";
import { count, ms, percent, rate } from "./format.js";
import { empty, scroller, term } from "./pieces.js";

/** @typedef {import("./report.js").Report} Report @typedef {import("./report.js").Cell} Cell */

// With more servers than this they are the rows.
const MOST_COLUMNS = 6;
const FIRST_TOOLS = 12;
const FIRST_SERVERS = 15;
const SLOW = 1.5;
const VERY_SLOW = 3;

/** @param {number[]} values */
function median(values) {
  const ordered = [...values].sort((one, other) => one - other);
  const middle = ordered.length >> 1;
  return ordered.length ? (ordered.length % 2 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2) : null;
}

/** @param {Cell} cell @returns {cell is Cell & {p95_ms: number}} whether it says enough to be compared */
const counts = (cell) => !cell.few && cell.p95_ms !== null;

/** p95 against the median of the other servers, by server. @param {Cell[]} cells @returns {Map<string, number>} */
function ratios(cells) {
  const all = cells.filter(counts).sort((one, other) => one.p95_ms - other.p95_ms);
  return new Map(all.flatMap((cell, at) => {
    // The middle of the others without this one, found in the sorted list at once.
    const others = all.length - 1;
    const nth = (/** @type {number} */ index) => all[index < at ? index : index + 1].p95_ms;
    const middle = others < 1 ? 0 : (nth((others - 1) >> 1) + nth(others >> 1)) / 2;
    return middle ? [[cell.sid, cell.p95_ms / middle]] : [];
  }));
}

/** @param {number | null} value */
const heat = (value) => (value === null || value < SLOW ? "" : value < VERY_SLOW ? "warn" : "bad");

/** @param {Report} report @param {import("./pieces.js").More} more */
export function compareView(report, more) {
  const tools = report.compare.filter((row) => row.cells.length);
  if (!tools.length) return empty("No call in this window.");
  const cells = new Map(tools.map((row) => [row.tool, new Map(row.cells.map((cell) => [cell.sid, cell]))]));
  const middles = new Map(tools.map((row) => [row.tool, median(row.cells.filter(counts).map((cell) => cell.p95_ms))]));
  const against = new Map(tools.map((row) => [row.tool, ratios(row.cells)]));
  const sids = [...new Set(tools.flatMap((row) => row.cells.map((cell) => cell.sid)))];
  /** @param {string} tool @param {string} sid */
  const one = (tool, sid) => {
    const cell = cells.get(tool)?.get(sid);
    return cell ? { cell, ratio: against.get(tool)?.get(sid) ?? null } : null;
  };
  const caption = "95th percentile of the call time; below it p50, p99, calls and errors. Grey: fewer than 20 calls.";
  const names = tools.map((row) => row.tool);
  if (sids.length <= MOST_COLUMNS) {
    const order = [...sids].sort((left, right) => left.localeCompare(right, "en", { numeric: true }));
    const shownTools = more.of("compare", names, FIRST_TOOLS);
    return [matrix(caption, "Tool", shownTools, order, (tool, sid) => one(tool, sid), middles), more.button("compare", names.length, FIRST_TOOLS, "tools")];
  }
  /** @param {string} sid */
  const worst = (sid) => Math.max(0, ...names.map((tool) => one(tool, sid)?.ratio ?? 0));
  const ranked = sids.map((sid) => ({ sid, worst: worst(sid) })).sort((left, right) => right.worst - left.worst || left.sid.localeCompare(right.sid, "en", { numeric: true })).map((server) => server.sid);
  return [
    matrix(`${caption} Slowest against the others first.`, "Server", more.of("compare", ranked, FIRST_SERVERS), names.slice(0, FIRST_TOOLS), (sid, tool) => one(tool, sid), null),
    names.length > FIRST_TOOLS && empty(`${names.length - FIRST_TOOLS} more tools: filter by tool to see them.`),
    more.button("compare", ranked.length, FIRST_SERVERS, "servers"),
  ];
}

/**
 * @param {string} caption
 * @param {string} corner
 * @param {string[]} rows
 * @param {string[]} columns
 * @param {(row: string, column: string) => {cell: Cell, ratio: number | null} | null} at
 * @param {Map<string, number | null> | null} middles by row
 */
const matrix = (caption, corner, rows, columns, at, middles) => scroller(caption, h("table", { class: "matrix" },
  h("caption", null, h("span", null, caption)),
  h("thead", null, h("tr", null, h("th", { scope: "col" }, corner), columns.map((column) => h("th", { key: column, scope: "col" }, term(column))))),
  h("tbody", null, rows.map((row) => h("tr", { key: row },
    h("th", { scope: "row" }, term(row), middles && h("span", { class: "muted small" }, `median p95 ${ms(middles.get(row))}`)),
    columns.map((column) => value(column, at(row, column))))))));

/** @param {string} key @param {{cell: Cell, ratio: number | null} | null} found */
function value(key, found) {
  if (!found) return h("td", { key, class: "muted" }, "no call");
  const { cell, ratio } = found;
  const hot = heat(ratio);
  return h("td", { key, class: cell.few ? "few" : hot || null },
    h("span", { class: "main" }, h("b", null, ms(cell.p95_ms)), hot && h("span", { class: "times" }, `▲ ${rate(ratio)}× the others`)),
    h("span", { class: "small" }, `p50 ${ms(cell.p50_ms)} · p99 ${ms(cell.p99_ms)}`),
    h("span", { class: "small" }, `${cell.few ? "only " : ""}${count(cell.calls)} calls · `, h("span", { class: cell.errors && !cell.few ? "counted" : null }, `${percent(cell.error_ratio)} errors`)));
}
