// The page: takes the hub's report once a second and shows it.

import { Channel, get } from "./channel.js";
import { charts } from "./charts.js";
import { compareView } from "./compare.js";
import { patch, h } from "./dom.js";
import { errorsView } from "./errors.js";
import { FilterBar } from "./filterbar.js";
import { fromQuery, toggled, toQuery, toRequest } from "./filters.js";
import { fleetView } from "./fleet.js";
import { clock, exact, span } from "./format.js";
import { bottlenecksView, loadView } from "./load.js";
import { gist, nowView, sentence, troubles } from "./now.js";
import { icon, More, reachable } from "./pieces.js";
import { costView, qualityView } from "./quality.js";
import { wire } from "./signin.js";
import { Tail } from "./tail.js";

/** @typedef {import("./report.js").Report} Report @typedef {import("./filters.js").Filters} Filters */

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

class Page {
  constructor() {
    /** @type {Filters} */
    this.filters = fromQuery(location.search);
    /** @type {Report | null} */
    this.report = null;
    this.receivedAt = 0;
    this.told = "";
    this.pending = false;
    this.more = new More(() => this.draw());
    this.bar = new FilterBar(part("filters"), (filters) => this.choose(filters));
    this.charts = charts(part("chart-calls"), part("chart-p95"));
    this.tail = new Tail(part("tail-body"), () => this.filters);
    this.channel = new Channel("ws/stats", {
      query: () => toRequest(this.filters),
      received: (report) => this.receive(report),
      changed: () => this.connection(),
      ask: () => get(`api/report?${toRequest(this.filters)}`),
    });
    wire(part("signin"), () => {
      part("signin").hidden = true;
      this.channel.open();
      this.tail.restart();
    });
    addEventListener("popstate", () => this.apply(fromQuery(location.search)));
    document.addEventListener("visibilitychange", () => this.schedule());
    setInterval(() => this.connection(), 1000);
    this.bar.draw(this.filters, { sids: [], tools: [] });
    this.connection();
  }

  /** @param {Filters} filters */
  choose(filters) {
    history.pushState(null, "", location.pathname + toQuery(filters));
    this.apply(filters);
  }

  /** @param {Filters} filters */
  apply(filters) {
    this.filters = filters;
    this.bar.draw(filters, this.report?.known ?? { sids: [], tools: [] });
    part("main").setAttribute("aria-busy", "true");
    this.channel.send(filters);
    this.tail.restart();
  }

  /** @param {Report} report */
  receive(report) {
    if (!report || !Array.isArray(report.servers)) return;
    this.report = report;
    this.receivedAt = Date.now();
    const found = troubles(report).length;
    document.title = `${found ? `(${found}) ` : ""}Canton MCP fleet`;
    this.schedule();
  }

  /** One drawing per frame, and none while nobody looks. */
  schedule() {
    if (this.pending || document.hidden) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  draw() {
    const report = this.report;
    if (!report) return;
    const { more } = this;
    this.bar.draw(this.filters, report.known);
    patch(part("now"), nowView(report, more));
    part("sections").hidden = report.servers.length === 0 && report.quality.received === 0;
    for (const id of ["fleet", "compare", "load", "bottlenecks", "errors", "cost"]) part(id).hidden = report.servers.length === 0;
    patch(part("fleet-body"), fleetView(report, more, (sid) => this.choose({ ...this.filters, sid: toggled(this.filters.sid, sid) })));
    patch(part("compare-body"), compareView(report, more));
    patch(part("load-body"), loadView(report, more));
    patch(part("bottlenecks-body"), bottlenecksView(report, more));
    patch(part("errors-body"), errorsView(report, more));
    patch(part("quality-body"), qualityView(report, more));
    patch(part("cost-body"), costView(report, more));
    for (const chart of this.charts) chart.draw(report);
    patch(part("about"), h("p", null, `Statistics since ${clock(report.since, report.at)}. Also: `,
      h("a", { href: "metrics" }, "metrics for Prometheus"), ", ", h("a", { href: `api/report${toQuery(this.filters)}` }, "this report as JSON"), "."));
    part("main").removeAttribute("aria-busy");
    reachable(part("sections"));
    this.announce(report);
    this.connection();
  }

  /** Tell a screen reader when the state has changed, not each new figure. @param {Report} report */
  announce(report) {
    const now = gist(report);
    if (now === this.told) return;
    this.told = now;
    part("announce").textContent = sentence(report);
  }

  connection() {
    const { state } = this.channel;
    const age = (Date.now() - this.receivedAt) / 1000;
    const at = this.receivedAt ? exact(this.receivedAt / 1000) : "";
    const said = {
      connecting: "Connecting…",
      live: "Live",
      polling: "No live stream; asking every few seconds",
      lost: at ? `The hub does not answer; figures are of ${at}, ${span(age)} old` : "The hub does not answer; trying again",
      "signed-out": at ? `Signed out; figures are of ${at}` : "Signed out",
    }[state];
    const tone = { connecting: "calm", live: "good", polling: "warn", lost: "bad", "signed-out": "bad" }[state];
    const root = part("connection");
    root.className = `connection ${tone}`;
    patch(root, icon({ good: "up", calm: "idle", warn: "warning", bad: "critical" }[tone] ?? "info"), h("span", null, said));
    document.body.classList.toggle("stale", state === "lost" || state === "signed-out");
    const out = state === "signed-out";
    const asked = out && part("signin").hidden;
    part("signin").hidden = !out;
    if (asked) part("token").focus(); // what is hidden cannot take it
  }
}

new Page();
