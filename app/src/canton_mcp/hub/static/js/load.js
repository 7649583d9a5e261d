// Who does the work: each server's share of the calls and of the time, against an even share.

import { h } from "./dom.js";
import { count, known, ms, name, percent, rate } from "./format.js";
import { advice, empty, icon, table, term, width } from "./pieces.js";

/** @typedef {import("./report.js").Report} Report @typedef {import("./report.js").Server} Server */

const FIRST_SERVERS = 12;
const FIRST_TOOLS = 10;
const UNEVEN = 1.5;

/** @param {Report} report @param {import("./pieces.js").More} more */
export function loadView(report, more) {
  if (!report.fleet.calls) return empty("No call in this window.");
  const servers = [...report.servers].sort((left, right) => (right.load_share ?? 0) - (left.load_share ?? 0) || left.sid.localeCompare(right.sid, "en", { numeric: true }));
  // The load should spread over the servers that are there.
  const there = servers.filter((server) => (server.state === "up" || server.state === "idle") && (server.expected || server.calls > 0));
  const even = 1 / Math.max(1, there.length);
  // All bars share one scale on which the even share is well visible.
  const full = Math.min(1, Math.max(even * 2, ...servers.map((server) => Math.max(server.load_share ?? 0, server.time_share ?? 0))));
  const uneven = (report.fleet.imbalance ?? 1) > UNEVEN;
  return [
    h("p", { class: uneven ? "note warn" : "note" }, uneven && icon("warning"), h("span", null,
      "Imbalance ", h("b", null, known(report.fleet.imbalance) ? rate(Math.round(report.fleet.imbalance * 100) / 100) : "unknown"),
      uneven ? ": the busiest server takes more than its share. Look at the balancer's weights and at servers that were away." : ": 1 is even, more than 1.5 is worth a look.",
      ` The mark on each bar is an even share, ${percent(even)}.`)),
    table("Share of each server", [
      { head: "Server", cell: (server) => term(server.sid) },
      { head: "Calls", cell: (server) => count(server.calls), number: true, minor: true },
      { head: "Share of calls", cell: (server) => bar(server.load_share, even, full, "calls") },
      { head: "Share of time", cell: (server) => bar(server.time_share, even, full, "time") },
      { head: "At once", cell: (server) => (known(server.concurrency) ? rate(Math.round(server.concurrency * 100) / 100) : "–"), number: true },
    ], more.of("load", servers, FIRST_SERVERS), (server) => server.sid),
    more.button("load", servers.length, FIRST_SERVERS, "servers"),
    h("p", { class: "muted small" }, "“At once” is the average number of calls in work at the same time (time spent ÷ length of the window)."),
  ];
}

/** @param {number | null} share @param {number} even @param {number} full @param {string} kind */
const bar = (share, even, full, kind) => h("div", { class: "share" },
  h("div", { class: `track ${kind}`, "aria-hidden": "true", style: { "--share": width((share ?? 0) / full), "--even": width(even / full) } }),
  h("span", null, percent(share)));

/** @param {Report} report @param {import("./pieces.js").More} more */
export function bottlenecksView(report, more) {
  return [
    report.bottlenecks.length
      ? h("ul", { class: "headlines" }, more.of("bottlenecks", report.bottlenecks, 8).map((found) =>
        h("li", { key: `${found.kind} ${found.sid} ${found.tool}`, class: "headline calm" },
          h("p", { class: "what" }, h("strong", null, KINDS[found.kind] ?? name(found.kind)), `: ${name(found.what, 300)}`),
          found.do ? advice(found.do, `${found.kind} ${found.sid} ${found.tool}`) : null)))
      : empty("Nothing stands out: no server is slow against the others or against its own past."),
    more.button("bottlenecks", report.bottlenecks.length, 8, "findings"),
    report.tools.length > 0 && table("Tools by the time spent in them", [
      { head: "Tool", cell: (tool) => term(tool.tool) },
      { head: "Time", cell: (tool) => ms(tool.total_ms), number: true },
      { head: "Share of time", cell: (tool) => bar(tool.time_share, 0, 1, "time") },
      { head: "Calls", cell: (tool) => count(tool.calls), number: true },
      { head: "Errors", cell: (tool) => percent(tool.error_ratio), number: true, minor: true },
      { head: "p95", cell: (tool) => ms(tool.p95_ms), number: true, minor: true },
    ], more.of("tools", report.tools, FIRST_TOOLS), (tool) => tool.tool),
    more.button("tools", report.tools.length, FIRST_TOOLS, "tools"),
  ];
}

const KINDS = /** @type {Record<string, string>} */ ({
  slow_on_server: "Slow on one server",
  busy_server: "Busy server",
  slower_than_before: "Slower than before",
  top_tool: "Most time",
});
