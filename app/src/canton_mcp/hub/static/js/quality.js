// How far the figures can be trusted: what came in, what was refused and why, what was lost.

import { h } from "./dom.js";
import { clock, count, known, money, name, percent, rate, size } from "./format.js";
import { empty, icon, table, term } from "./pieces.js";

/** @typedef {import("./report.js").Report} Report */

const FIRST = 10;
const REASONS = /** @type {Record<string, string>} */ ({
  oversize: "longer than 1472 bytes",
  not_utf8: "not UTF-8",
  not_json: "not JSON",
  not_object: "not an object",
  version: "version is not 2 or 3",
  type: "no type",
  missing_field: "a required field is missing",
  bad_field: "a field has a wrong value",
  rate_limited: "over the sender's rate limit",
  sid_cap: "too many different senders",
  composite: "composite breaks its own rules",
  duplicate: "came twice",
});

/** @param {Report} report @param {import("./pieces.js").More} more */
export function qualityView(report, more) {
  const quality = report.quality;
  const rejected = Object.entries(quality.rejected).filter(([, number]) => number > 0).sort(([, one], [, other]) => other - one);
  const refused = rejected.reduce((sum, [, number]) => sum + number, 0);
  const servers = report.servers.filter((server) => server.lost || server.nonconformant || Math.abs(server.skew_seconds ?? 0) > 5);
  const sources = [...quality.sources].sort((one, other) => other.rate_limited - one.rate_limited || other.rejected - one.rejected || other.received - one.received);
  return [
    h("dl", { class: "tiles" },
      tile("Datagrams received", count(quality.received)),
      tile("Accepted", count(quality.accepted)),
      tile("Rejected", count(refused), refused > 0),
      tile("Dropped by the kernel", quality.kernel_drops === null ? "unknown" : count(quality.kernel_drops), (quality.kernel_drops ?? 0) > 0),
      tile("Lost on the way", report.fleet.loss_ratio === null ? "unknown" : percent(report.fleet.loss_ratio), (report.fleet.loss_ratio ?? 0) > 0.01),
      tile("Of unknown type", count(quality.unknown_types)),
      quality.websocket && tile("WebSocket clients", count(quality.websocket.clients)),
      quality.websocket && tile("Messages not relayed to slow clients", count(quality.websocket.dropped), quality.websocket.dropped > 0),
      quality.store ? tile("History", known(quality.store.oldest) ? `${size(quality.store.bytes)} since ${clock(quality.store.oldest, report.at)}` : size(quality.store.bytes)) : tile("History", "not kept", true)),
    rejected.length > 0 && table("Rejected datagrams by reason", [
      { head: "Reason", cell: ([reason]) => h("code", null, name(reason)) },
      { head: "Meaning", cell: ([reason]) => REASONS[reason] ?? "", minor: false },
      { head: "Datagrams", cell: ([, number]) => count(number), number: true },
    ], rejected, ([reason]) => reason),
    servers.length > 0 && table("Servers whose messages are late, lost or not to the letter", [
      { head: "Server", cell: (server) => term(server.sid) },
      { head: "Lost", cell: (server) => (server.loss_ratio === null ? "unknown" : `${count(server.lost)} (${percent(server.loss_ratio)})`), number: true },
      { head: "Clock off by", cell: (server) => (known(server.skew_seconds) ? `${rate(server.skew_seconds)} s` : "–"), number: true },
      { head: "Not to the letter", cell: (server) => count(server.nonconformant), number: true },
    ], more.of("late", servers, FIRST), (server) => server.sid),
    more.button("late", servers.length, FIRST, "servers"),
    quality.flags.length > 0 && table("Departures from the protocol", [
      { head: "Sender", cell: (flag) => term(flag.sid) },
      { head: "Departure", cell: (flag) => h("code", null, name(flag.flag)) },
      { head: "Messages", cell: (flag) => count(flag.count), number: true },
    ], more.of("flags", quality.flags, FIRST), (flag) => `${flag.sid} ${flag.flag}`),
    more.button("flags", quality.flags.length, FIRST, "rows"),
    sources.length > 0 && table("Where messages come from", [
      { head: "Address", cell: (source) => term(source.address) },
      { head: "Sender", cell: (source) => term(source.sid) },
      { head: "Received", cell: (source) => count(source.received), number: true },
      { head: "Rejected", cell: (source) => count(source.rejected), number: true },
      { head: "Over the limit", cell: (source) => count(source.rate_limited), number: true },
    ], more.of("sources", sources, FIRST), (source) => `${source.address} ${source.sid}`),
    more.button("sources", sources.length, FIRST, "sources"),
  ];
}

/** @param {string} label @param {string} value @param {boolean} [bad] */
const tile = (label, value, bad = false) =>
  h("div", { class: bad ? "tile warn" : "tile" }, h("dt", null, bad && icon("warning"), label), h("dd", null, value));

/** @param {Report} report @param {import("./pieces.js").More} more */
export function costView(report, more) {
  if (!report.cost.length) return empty("No server reported a cost in this window.");
  return [
    table("Cost that servers report", [
      { head: "Server", cell: (cost) => term(cost.sid) },
      { head: "Currency", cell: (cost) => term(cost.currency) },
      { head: "Amount", cell: (cost) => money(cost.amount, cost.decimals), number: true },
    ], more.of("cost", report.cost, FIRST), (cost) => `${cost.sid} ${cost.currency}`),
    more.button("cost", report.cost.length, FIRST, "rows"),
  ];
}
