// The newest datagrams, as they come. Arguments are asked for from the hub only when wanted.

import { h, patch } from "./dom.js";
import { Channel } from "./channel.js";
import { count, exact, known, ms, name, size } from "./format.js";
import { empty, reachable, scroller, table, term } from "./pieces.js";

/** @typedef {import("./filters.js").Filters} Filters */
/** @typedef {{at: number, source: string, size: number, message?: Record<string, any>, rejected?: any, number: number}} Line */

const MOST_LINES = 100;
const REDRAW_MS = 300;
const KINDS = /** @type {[string, string][]} */ ([["", "everything"], ["calls", "calls"], ["failed", "failed calls"], ["other", "other messages"], ["rejected", "rejected"]]);

export class Tail {
  /** @param {HTMLElement} root @param {() => Filters} filters */
  constructor(root, filters) {
    this.root = root;
    this.filters = filters;
    /** @type {Line[]} */
    this.lines = [];
    this.number = 0;
    this.paused = false;
    this.missed = 0;
    this.skipped = 0;
    this.args = false;
    this.kind = "";
    this.text = "";
    /** @type {Channel | null} */
    this.channel = null;
    this.timer = 0;
    this.visible = false;
    this.draw();
    // The stream is taken only while someone can see it.
    new IntersectionObserver((entries) => {
      this.visible = entries.some((entry) => entry.isIntersecting);
      this.follow();
    }, { rootMargin: "400px" }).observe(root);
    document.addEventListener("visibilitychange", () => this.follow());
  }

  follow() {
    const wanted = this.visible && !document.hidden;
    if (wanted && !this.channel) {
      this.channel = new Channel("ws/tail", { query: () => this.query(), received: (line) => this.add(line), changed: () => this.later(), quiet: true });
    } else if (!wanted) {
      this.channel?.close();
      this.channel = null;
    }
  }

  query() {
    const filters = this.filters();
    const query = new URLSearchParams();
    if (filters.sid.length) query.set("sid", filters.sid.join(","));
    if (filters.tool.length) query.set("tool", filters.tool.join(","));
    if (this.args) query.set("args", "1");
    return query.toString();
  }

  /** Begin again, with other filters. */
  restart() {
    this.lines = [];
    this.skipped = 0;
    this.channel?.open();
    this.draw();
  }

  /** @param {any} data a line, or how many the hub left out because they came too fast to read */
  add(data) {
    if (!data || typeof data !== "object" || "error" in data) return;
    if (known(data.skipped)) {
      this.skipped += data.skipped;
    } else if (this.paused) {
      this.missed += 1;
    } else {
      this.number += 1;
      this.lines.unshift({ ...data, number: this.number });
      this.lines.length = Math.min(this.lines.length, MOST_LINES);
    }
    this.later();
  }

  later() {
    this.timer ||= setTimeout(() => {
      this.timer = 0;
      if (!document.hidden) this.draw();
    }, REDRAW_MS);
  }

  draw() {
    const lines = this.lines.filter((line) => this.matches(line));
    patch(this.root, this.controls(), lines.length ? scroller("Live tail", this.rows(lines)) : empty(this.why()));
    reachable(this.root);
  }

  why() {
    if (this.paused) return "Paused.";
    if (this.lines.length) return "Nothing of this kind among the newest messages.";
    return this.channel && this.channel.state !== "live" ? "Waiting for the hub." : "Waiting for the next message.";
  }

  controls() {
    return h("div", { class: "controls" },
      h("button", { type: "button", "aria-pressed": String(this.paused), on: { click: () => this.pause() } }, this.paused ? `Go on${this.missed ? ` (${this.missed} not shown)` : ""}` : "Pause"),
      h("label", null, "Show ", h("select", { on: { change: (/** @type {any} */ event) => { this.kind = event.target.value; this.draw(); } } },
        KINDS.map(([value, label]) => h("option", { key: value, value }, label)))),
      h("label", null, "containing ", h("input", { type: "search", size: "14", on: { input: (/** @type {any} */ event) => { this.text = event.target.value.toLowerCase(); this.draw(); } } })),
      h("label", null, h("input", { type: "checkbox", checked: this.args, on: { change: (/** @type {any} */ event) => { this.args = event.target.checked; this.restart(); } } }), " arguments"),
      this.skipped > 0 && h("span", { class: "muted small" }, `${count(this.skipped)} more came too fast to show`));
  }

  pause() {
    this.paused = !this.paused;
    this.missed = 0;
    this.draw();
  }

  /** @param {Line} line */
  matches(line) {
    const message = line.message;
    const call = message?.t === "perf_update" || message?.t === "usage_receipt";
    if (this.kind === "rejected" && !line.rejected) return false;
    if (this.kind === "calls" && !call) return false;
    if (this.kind === "failed" && !(call && message?.success === false)) return false;
    if (this.kind === "other" && (call || line.rejected)) return false;
    return !this.text || JSON.stringify([line.source, line.rejected, message]).toLowerCase().includes(this.text);
  }

  /** @param {Line[]} lines */
  rows(lines) {
    const columns = [
      { head: "Time", cell: (/** @type {Line} */ line) => h("time", null, exact(line.at)) },
      { head: "Sender", cell: (/** @type {Line} */ line) => term(line.message?.sid ?? line.message?.agent_id ?? line.source) },
      { head: "Message", cell: (/** @type {Line} */ line) => this.told(line) },
      { head: "From", cell: (/** @type {Line} */ line) => name(line.source), minor: true },
      { head: "Size", cell: (/** @type {Line} */ line) => size(line.size), number: true, minor: true },
    ];
    return table("Newest first", columns, lines, (line) => String(line.number)).children;
  }

  /** @param {Line} line */
  told(line) {
    if (line.rejected) {
      const why = typeof line.rejected === "object" ? `${line.rejected.reason}: ${line.rejected.detail ?? ""}` : line.rejected;
      return h("span", { class: "bad-text" }, `rejected, ${name(why, 160)}`);
    }
    const message = line.message ?? {};
    return h("details", { class: "raw" },
      h("summary", null, summary(message)),
      h("pre", null, JSON.stringify(this.args ? message : withoutArguments(message), null, 1).replace(/[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "\u00b7")));
  }
}

/** @param {Record<string, any>} message */
function summary(message) {
  const tool = term(message.tool ?? message.composite_id ?? "");
  if (message.t === "perf_update" || message.t === "usage_receipt") {
    const outcome = message.success ? "ok" : `failed${message.ctx?.error_code ? ` (${name(message.ctx.error_code, 40)})` : ""}`;
    return [tool, known(message.exec_ms) ? ` ${ms(message.exec_ms)} ` : " ", h("span", { class: message.success ? "good-text" : "bad-text" }, outcome)];
  }
  return [`${name(message.t, 40)} `, tool, message.does ? ` ${name(message.does, 80)}` : "", message.error_type ? ` ${name(message.error_type, 60)}` : ""];
}

/** @param {Record<string, any>} message */
function withoutArguments(message) {
  const copy = { ...message };
  if (copy.ctx && typeof copy.ctx === "object" && "args" in copy.ctx) copy.ctx = { ...copy.ctx, args: "hidden" };
  if ("sample_args" in copy) copy.sample_args = "hidden";
  return copy;
}
