// One card per server, or a row when there are many; sorted by trouble, as the hub gives them.

import { h } from "./dom.js";
import { ago, clock, count, ms, name, percent, rate, span } from "./format.js";
import { badge, icon, table, term, TONE } from "./pieces.js";

/** @typedef {import("./report.js").Report} Report @typedef {import("./report.js").Server} Server */

const MOST_CARDS = 12;
const FIRST_ROWS = 25;
const FIRST_ROWS_NARROW = 12;

/**
 * @param {Report} report
 * @param {import("./pieces.js").More} more
 * @param {(sid: string) => void} choose
 */
export function fleetView(report, more, choose) {
  const servers = report.servers;
  if (servers.length <= MOST_CARDS) {
    return h("ol", { class: "cards", "aria-label": "Servers, most trouble first" }, servers.map((server) => card(server, report, choose)));
  }
  const first = matchMedia("(max-width: 44rem)").matches ? FIRST_ROWS_NARROW : FIRST_ROWS;
  return [rows(more.of("fleet", servers, first), report, choose), more.button("fleet", servers.length, first, "servers")];
}

/** @param {Server} server @param {Report} report */
function remark(server, report) {
  const found = report.headlines.filter((headline) => headline.sid === server.sid && headline.severity !== "info");
  if (server.state === "silent") return `Silent since ${clock(server.last_seen, report.at)}`;
  if (server.state === "never") return "Expected, never heard";
  if (!found.length) return "";
  return said(found[0].what, server.sid) + (found.length > 1 ? `, and ${found.length - 1} more` : "");
}

/** A headline on the card of its own server: "x is silent" becomes "Silent". @param {string} what @param {string} sid */
function said(what, sid) {
  const rest = what.startsWith(`${sid} `) ? what.slice(sid.length + 1).replace(/^is /, "") : what;
  return name(/^[a-z]+ /.test(rest) ? rest.charAt(0).toUpperCase() + rest.slice(1) : rest, 90);
}

/** @param {Server} server @param {Report} report */
const tone = (server, report) =>
  TONE[server.state] === "bad" ? "bad" : TONE[report.headlines.find((headline) => headline.sid === server.sid && headline.severity !== "info")?.severity ?? server.state] ?? "calm";

/** @param {Server} server @param {(sid: string) => void} choose */
const chooser = (server, choose) =>
  h("button", { type: "button", class: "link", title: `Show ${name(server.sid)} alone`, on: { click: () => choose(server.sid) } }, term(server.sid));

/** @param {Server} server */
const place = (server) => [server.host, server.port].filter((part) => part !== null && part !== undefined && part !== "").map((part) => name(part)).join(":");

/** @param {Server} server @param {Report} report @param {(sid: string) => void} choose */
function card(server, report, choose) {
  const finding = remark(server, report);
  return h("li", { key: server.sid, class: `card ${tone(server, report)}` },
    h("div", { class: "card-head" }, h("h3", null, chooser(server, choose)), badge(server.state)),
    h("p", { class: "muted where" }, [server.name && server.name !== server.sid ? name(server.name) : "", place(server), server.expected ? "" : "not in the inventory"].filter(Boolean).join(" · ") || "\u00a0"),
    h("p", { class: "remark" }, finding ? [icon(tone(server, report) === "bad" ? "critical" : "warning"), h("span", null, finding)] : "\u00a0"),
    h("dl", { class: "facts" },
      fact("Calls/min", rate(server.calls_per_minute)),
      fact("Errors", percent(server.error_ratio)),
      fact("p95", ms(server.p95_ms)),
      fact("Load", percent(server.load_share))),
    spark(server.spark),
    h("p", { class: "muted foot" }, server.last_seen === null ? "No message yet" : `Last message ${ago(server.age_seconds)}`,
      server.loss_ratio ? ` · ${percent(server.loss_ratio)} lost` : ""));
}

/** @param {string} label @param {string} value */
const fact = (label, value) => h("div", null, h("dt", null, label), h("dd", null, value));

/** Calls per slot of the window as bars; the figures beside it say the same in words. @param {number[]} values */
function spark(values) {
  const most = Math.max(1, ...values);
  const step = 100 / Math.max(1, values.length);
  const bars = values.map((value, at) => value > 0 && `M${(at * step).toFixed(1)} 20h${(step * 0.75).toFixed(1)}v${(-Math.max(1, (value / most) * 19)).toFixed(1)}h${(-step * 0.75).toFixed(1)}z`).filter(Boolean);
  return h("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, h("path", { d: bars.join("") || "M0 20" }));
}

/** @param {Server[]} servers @param {Report} report @param {(sid: string) => void} choose */
const rows = (servers, report, choose) => table("Servers, most trouble first", [
  { head: "Server", cell: (server) => chooser(server, choose) },
  { head: "State", cell: (server) => badge(server.state), tone: (server) => tone(server, report) },
  { head: "Finding", cell: (server) => remark(server, report), minor: true },
  { head: "Calls/min", cell: (server) => rate(server.calls_per_minute), number: true },
  { head: "Errors", cell: (server) => percent(server.error_ratio), number: true },
  { head: "p95", cell: (server) => ms(server.p95_ms), number: true },
  { head: "Load", cell: (server) => percent(server.load_share), number: true, minor: true },
  { head: "Calls", cell: (server) => count(server.calls), number: true, minor: true },
  { head: "Lost", cell: (server) => (server.loss_ratio === null ? "unknown" : percent(server.loss_ratio)), number: true, minor: true },
  { head: "Last message", cell: (server) => (server.last_seen === null ? "never" : `${span(server.age_seconds)} ago`), number: true, minor: true },
], servers, (server) => server.sid);
