// The first screen: one sentence on the fleet, then what is wrong and what to do.

import { h } from "./dom.js";
import { clock, count, ms, name, percent, plural, rate } from "./format.js";
import { advice, badge, icon, TONE } from "./pieces.js";
import { WINDOWS } from "./filters.js";

/** @typedef {import("./report.js").Report} Report @typedef {import("./report.js").Headline} Headline */

const FIRST_HEADLINES = 5;

/** What is wrong, without notes. @param {Report} report */
export const troubles = (report) => report.headlines.filter((headline) => headline.severity !== "info");

/** @param {Report} report */
export function wellServers(report) {
  const ill = new Set(troubles(report).map((headline) => headline.sid).filter(Boolean));
  return report.servers.filter((server) => (server.state === "up" || server.state === "idle") && !ill.has(server.sid)).length;
}

/** The state of the fleet in one sentence. @param {Report} report */
export function sentence(report) {
  const total = report.servers.length;
  const well = wellServers(report);
  const found = troubles(report);
  const servers = well === total ? (total === 1 ? "The server is well" : `All ${total} servers are well`)
    : `${well} of ${plural(total, "server")} ${well === 1 ? "is" : "are"} well`;
  // Where nothing is wrong yet, what keeps a server from being well: it has not spoken, or it is a stranger.
  const away = well === total ? [] : report.headlines.filter((headline) => report.servers.some((server) => server.sid === headline.sid && TONE[server.state] === "bad"));
  const [first, ...others] = found.length ? found : away;
  if (!first) return `${servers}.`;
  const more = others.length ? `, and ${plural(others.length, "more thing")} to look at` : "";
  const what = name(first.what, 160).replace(/^The /, "the ").replace(/\.$/, "");
  return `${servers}; ${what}${since(report, first)}${more}.`;
}

/** @param {Report} report @param {Headline} headline */
function since(report, headline) {
  const server = report.servers.find((other) => other.sid === headline.sid);
  if (!server || server.state !== "silent" || !/silent/.test(headline.what) || / since /.test(headline.what)) return "";
  return ` since ${clock(server.last_seen, report.at)}`;
}

/** What a listener is told when it changes: the troubles without their figures. @param {Report} report */
export const gist = (report) => troubles(report).map((headline) => `${headline.sid} ${headline.what.replace(/[\d.,]+/g, "")}`).join("|");

/** @param {Report} report @param {import("./pieces.js").More} more */
export function nowView(report, more) {
  if (!report.servers.length) return nobody(report);
  const found = report.headlines;
  const worst = troubles(report)[0]?.severity ?? (wellServers(report) === report.servers.length ? "up" : "info");
  const fleet = report.fleet;
  const window = WINDOWS.find(([value]) => value === report.window)?.[1] ?? report.window;
  return [
    h("p", { class: `sentence ${TONE[worst]}`, id: "sentence" }, icon(worst), h("span", null, sentence(report))),
    h("p", { class: "figures" },
      `Last ${window}: `, figure(count(fleet.calls), fleet.calls === 1 ? "call" : "calls"), figure(rate(fleet.calls_per_minute), "per minute"),
      figure(percent(fleet.error_ratio), "errors"), figure(ms(fleet.p50_ms), "p50"), figure(ms(fleet.p95_ms), "p95"), figure(ms(fleet.p99_ms), "p99"),
      figure(fleet.loss_ratio === null ? "unknown" : percent(fleet.loss_ratio), "lost on the way")),
    found.length > 0 && h("ol", { class: "headlines", "aria-label": "What is wrong, worst first" },
      more.of("headlines", found, FIRST_HEADLINES).map((headline) => line(headline))),
    more.button("headlines", found.length, FIRST_HEADLINES, "findings"),
  ];
}

/** @param {Headline} headline */
function line(headline) {
  const key = `${headline.severity} ${headline.sid} ${headline.tool} ${headline.what.replace(/[\d.,]+/g, "")}`;
  return h("li", { key, class: `headline ${TONE[headline.severity] ?? "calm"}` },
    badge(headline.severity),
    h("p", { class: "what" }, h("strong", null, name(headline.what, 200)), headline.detail ? `. ${name(headline.detail, 300)}` : ""),
    headline.do ? advice(headline.do, key) : null);
}

/** @param {string} value @param {string} unit */
const figure = (value, unit) => h("span", { class: "figure" }, h("b", null, value), ` ${unit}`);

/** @param {Report} report */
function nobody(report) {
  const filter = report.filters.sid.length + report.filters.tool.length > 0;
  if (filter) return h("p", { class: "sentence calm", id: "sentence" }, icon("info"), h("span", null, "No server matches these filters."));
  return [
    h("p", { class: "sentence calm", id: "sentence" }, icon("info"), h("span", null, "No message has come yet, and no server is expected.")),
    h("div", { class: "panel" },
      h("p", null, "Servers send to this hub by UDP: set ", h("code", null, "DCAP_MULTICAST_IP"), " to this machine's address and ", h("code", null, "DCAP_PORT"), " to the hub's port (10191), then restart them."),
      h("p", null, "To see the page with made-up servers:"),
      advice("canton-mcp dcap simulate", "simulate"),
      report.quality.received > 0 && h("p", null, `${plural(report.quality.received, "datagram")} came, none of them usable: see `, h("a", { href: "#quality" }, "data quality"), ".")),
  ];
}
