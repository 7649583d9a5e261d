// Failed calls: how many, with the range that so few or so many calls allow, by code, and the patterns servers report.

import { h } from "./dom.js";
import { clock, count, known, name, percent } from "./format.js";
import { empty, table, term, width } from "./pieces.js";

/** @typedef {import("./report.js").Report} Report @typedef {import("./report.js").Server} Server */

const FIRST = 10;

/** @param {Report} report @param {import("./pieces.js").More} more */
export function errorsView(report, more) {
  const failing = report.servers.filter((server) => server.errors > 0).sort((left, right) => (right.error_low ?? 0) - (left.error_low ?? 0));
  if (!failing.length && !report.patterns.length) return empty(report.fleet.calls ? `None of ${count(report.fleet.calls)} calls failed.` : "No call in this window.");
  const full = Math.max(0.02, ...failing.map((server) => server.error_high ?? 0));
  return [
    failing.length > 0 && table("Error rate of each server, with its 95 % range", [
      { head: "Server", cell: (server) => term(server.sid) },
      { head: "Errors", cell: (server) => `${count(server.errors)} of ${count(server.calls)}`, number: true },
      { head: "Rate", cell: (server) => percent(server.error_ratio), number: true },
      { head: "Range", cell: (server) => range(server, full) },
    ], more.of("failing", failing, FIRST), (server) => server.sid),
    more.button("failing", failing.length, FIRST, "servers"),
    report.errors.length > 0 && table("Errors by code", [
      { head: "Code", cell: (error) => h("code", null, term(error.error_code)) },
      { head: "Tool", cell: (error) => term(error.tool) },
      { head: "Server", cell: (error) => term(error.sid) },
      { head: "Count", cell: (error) => count(error.count), number: true },
      { head: "Of its calls", cell: (error) => percent(error.ratio), number: true, minor: true },
      { head: "Last", cell: (error) => clock(error.last_seen, report.at), number: true, minor: true },
    ], more.of("codes", report.errors, FIRST), (error) => `${error.sid} ${error.tool} ${error.error_code}`),
    more.button("codes", report.errors.length, FIRST, "rows"),
    report.patterns.length > 0 && table("Patterns that servers report", [
      { head: "Error", cell: (pattern) => h("code", null, term(pattern.error_type)) },
      { head: "Tool", cell: (pattern) => term(pattern.tool) },
      { head: "Server", cell: (pattern) => term(pattern.sid) },
      { head: "Times", cell: (pattern) => (known(pattern.frequency) ? count(pattern.frequency) : "–"), number: true },
      { head: "When", cell: (pattern) => name(pattern.trigger ?? "", 160), minor: true },
      { head: "Advice of the server", cell: (pattern) => name(pattern.mitigation ?? "", 160), minor: true },
    ], more.of("patterns", report.patterns, FIRST), (pattern) => `${pattern.sid} ${pattern.tool} ${pattern.error_type}`),
    more.button("patterns", report.patterns.length, FIRST, "patterns"),
  ];
}

/** @param {Server} server @param {number} full */
function range(server, full) {
  if (server.error_low === null || server.error_high === null) return "–";
  const style = { "--low": width(server.error_low / full), "--high": width(server.error_high / full), "--at": width((server.error_ratio ?? 0) / full) };
  return h("div", { class: "share" },
    h("div", { class: "track range", "aria-hidden": "true", style }),
    h("span", null, `${percent(server.error_low)} to ${percent(server.error_high)}`));
}
