// The controls that choose window, servers and tools.

import { h, patch } from "./dom.js";
import { filtered, toggled, WINDOWS } from "./filters.js";
import { name } from "./format.js";
import { term } from "./pieces.js";

/** @typedef {import("./filters.js").Filters} Filters */

// Longer lists get a field to search in.
const SEARCHABLE = 8;
const MOST_CHOICES = 300;

export class FilterBar {
  /** @param {HTMLElement} root @param {(filters: Filters) => void} changed */
  constructor(root, changed) {
    this.root = root;
    this.changed = changed;
    /** @type {Record<string, string>} */
    this.sought = { sid: "", tool: "" };
    /** @type {[Filters, {sids: string[], tools: string[]}] | null} */
    this.last = null;
    root.addEventListener("submit", (event) => event.preventDefault());
    root.addEventListener("keydown", (event) => {
      const open = /** @type {HTMLElement} */ (event.target).closest("details[open]");
      if (event.key !== "Escape" || !open) return;
      open.removeAttribute("open");
      open.querySelector("summary")?.focus();
    });
    document.addEventListener("click", (event) => {
      for (const open of root.querySelectorAll("details[open]")) {
        if (!open.contains(/** @type {Node} */ (event.target))) open.removeAttribute("open");
      }
    });
  }

  /** @param {Filters} filters @param {{sids: string[], tools: string[]}} known */
  draw(filters, known) {
    this.last = [filters, known];
    patch(this.root,
      h("fieldset", { class: "windows" }, h("legend", { class: "unseen" }, "Window"),
        WINDOWS.map(([value, label]) => h("label", { key: value },
          h("input", { type: "radio", name: "window", value, checked: filters.window === value, on: { change: () => this.changed({ ...filters, window: value }) } }),
          h("span", null, label)))),
      this.picker("sid", "Servers", filters, known.sids),
      this.picker("tool", "Tools", filters, known.tools),
      filtered(filters) && h("button", { type: "button", class: "link", key: "clear", on: { click: () => this.clear(filters) } }, "Show all"));
  }

  /** @param {Filters} filters */
  clear(filters) {
    this.changed({ ...filters, sid: [], tool: [] });
    this.root.querySelector("summary")?.focus();
  }

  /** @param {"sid" | "tool"} kind @param {string} label @param {Filters} filters @param {string[]} values */
  picker(kind, label, filters, values) {
    const picked = filters[kind];
    const all = [...new Set([...picked, ...values])].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
    const sought = this.sought[kind].toLowerCase();
    const found = all.filter((value) => value.toLowerCase().includes(sought)).slice(0, MOST_CHOICES);
    const said = picked.length === 0 ? "all" : picked.length === 1 ? name(picked[0], 28) : `${picked.length} of ${all.length}`;
    return h("details", { class: picked.length ? "picker picked" : "picker", key: kind, id: `pick-${kind}` },
      h("summary", null, `${label}: `, h("bdi", null, said)),
      h("fieldset", { class: "choices" },
        h("legend", { class: "unseen" }, label),
        all.length > SEARCHABLE && h("input", { key: "search", type: "search", placeholder: "Search", "aria-label": `Search ${label.toLowerCase()}`, on: { input: (/** @type {any} */ event) => this.search(kind, event.target.value) } }),
        picked.length > 0 && h("button", { key: "none", type: "button", class: "link", on: { click: () => this.changed({ ...filters, [kind]: [] }) } }, `All ${label.toLowerCase()}`),
        found.map((value) => h("label", { key: `choice ${value}` },
          h("input", { type: "checkbox", value, checked: picked.includes(value), on: { change: () => this.changed({ ...filters, [kind]: toggled(picked, value) }) } }),
          term(value))),
        !found.length && h("p", { class: "muted" }, all.length ? "None matches." : "None yet.")));
  }

  /** @param {"sid" | "tool"} kind @param {string} text */
  search(kind, text) {
    this.sought[kind] = text;
    if (this.last) this.draw(...this.last);
  }
}
