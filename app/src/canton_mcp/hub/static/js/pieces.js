// Small parts that several sections use: icons, badges, tables, bars, commands to copy.

import { h } from "./dom.js";
import { name } from "./format.js";

/** @typedef {import("./dom.js").View} View @typedef {import("./dom.js").Content} Content */

const PATHS = {
  up: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.6 5.1-4.2 4.6a.9.9 0 0 1-1.3 0L4.3 8.9l1.2-1.2 1.2 1.2 3.6-3.9Z",
  idle: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm-1 10H5.4V5H7Zm3.6 0H9V5h1.6Z",
  silent: "M8 .8 15.6 15H.4ZM7.1 6v4.2h1.8V6Zm0 5.4v1.7h1.8v-1.7Z",
  never: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8ZM4.8 7.1h6.4v1.8H4.8Z",
  critical: "M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5ZM7.1 4v5h1.8V4Zm0 6.3V12h1.8v-1.7Z",
  warning: "M8 .8 15.6 15H.4ZM7.1 6v4.2h1.8V6Zm0 5.4v1.7h1.8v-1.7Z",
  info: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm-.9 6h1.8v5H7.1Zm0-2.8h1.8v1.7H7.1Z",
};
const LONG = 18;
const SEVERITIES = /** @type {Record<string, string>} */ ({ critical: "Critical", warning: "Warning", info: "Note" });
const STATES = /** @type {Record<string, string>} */ ({ up: "up", idle: "idle", silent: "silent", never: "never heard" });

/** How each kind of state looks: good, bad or in between. */
export const TONE = /** @type {Record<string, string>} */ ({
  up: "good", idle: "calm", silent: "bad", never: "bad", critical: "bad", warning: "warn", info: "calm",
});

/** @param {string} kind */
export const icon = (kind) =>
  h("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    h("path", { d: PATHS[/** @type {keyof typeof PATHS} */ (kind)] ?? PATHS.info, "fill-rule": "evenodd" }));

/** Icon and word, never colour alone. @param {string} kind a state or a severity */
export const badge = (kind) =>
  h("span", { class: `badge ${TONE[kind] ?? "calm"}` }, icon(kind), h("span", null, STATES[kind] ?? SEVERITIES[kind] ?? name(kind)));

/** A name from the wire: isolated, and breakable where its words end when it is long. @param {unknown} text */
export const term = (text) => {
  const shown = name(text);
  if (shown.length <= LONG) return h("bdi", { class: "whole" }, shown);
  /** @type {Content[]} */
  const parts = [];
  for (const part of shown.split(/(?<=[_./-])/)) parts.push(part, h("wbr", null));
  return h("bdi", null, parts.slice(0, -1));
};

// What the hub's advice may hold, without "on HOST" behind it.
const COMMANDS = new RegExp([
  "systemctl [a-z-]+ [\\w@.-]*\\w",
  "journalctl(?: -{1,2}[\\w-]+(?:[= ](?!on )[\\w@.*-]*\\w)?)+",
  "canton-mcp (?:probe|dcap (?:listen|simulate|stats))(?: --[\\w-]+(?: [\\w.:-]*\\w)?)*",
  "sysctl -w [\\w.]+=\\d+",
  "nstat -\\w+(?: [A-Z]\\w+)*",
  "grep \\w+ /[\\w/.*-]*\\w",
  "df -h",
  "timedatectl",
].map((each) => `(?<![\\w/-])${each}`).join("|"), "g");

/** Advice with its commands as code, each with a button that copies it. @param {string} text @param {string} key */
export function advice(text, key) {
  /** @type {Content[]} */
  const parts = [];
  const shown = name(text, 400);
  let end = 0;
  for (const found of shown.matchAll(COMMANDS)) {
    const [run] = found;
    parts.push(shown.slice(end, found.index), h("code", null, run), copier(run, `${key} ${parts.length}`));
    end = found.index + run.length;
  }
  return h("p", { class: "do" }, parts, shown.slice(end));
}

/** @param {string} run @param {string} key */
const copier = (run, key) => h("button", {
  type: "button", class: "copy", key, "aria-label": `Copy: ${run}`, on: { click: (/** @type {any} */ event) => copy(run, event.currentTarget) },
}, "Copy");

/** @param {string} text @param {HTMLElement} button */
async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyBySelection(text); // an address that is neither loopback nor https has no clipboard interface
    button.focus();
  }
  button.dataset.done = done ? "Copied" : "Not copied";
  const announce = document.getElementById("announce");
  if (announce) announce.textContent = done ? `Copied: ${text}` : "The browser does not let this page copy.";
  setTimeout(() => delete button.dataset.done, 2000);
}

/** @param {string} text */
function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/**
 * @template T
 * @typedef {{head: string, cell: (row: T) => Content, number?: boolean, minor?: boolean, tone?: (row: T) => string}} Column
 */

/**
 * A table that scrolls by itself when it is too wide. The first column heads its row; minor columns go on a phone.
 * @template T
 * @param {string} caption
 * @param {Column<T>[]} columns
 * @param {T[]} rows
 * @param {(row: T) => string} key
 */
export function table(caption, columns, rows, key) {
  /** @param {Column<T>} column @param {string} [more] */
  const look = (column, more = "") =>
    [column.number && "number", column.minor && "minor", more].filter(Boolean).join(" ") || null;
  return scroller(caption, h("table", null,
    h("caption", null, h("span", null, caption)),
    h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: look(column) }, column.head)))),
    h("tbody", null, rows.map((row) => h("tr", { key: key(row) }, columns.map((column, at) =>
      h(at ? "td" : "th", { scope: at ? null : "row", class: look(column, column.tone?.(row)) }, column.cell(row)))))),
  ));
}

/** @param {string} label @param {...Content} content */
export const scroller = (label, ...content) => h("div", { class: "scroll", "data-label": label }, content);

/** Regions that can be scrolled are reached by the keyboard; the others are not in the way. @param {ParentNode} root */
export function reachable(root) {
  for (const region of root.querySelectorAll(".scroll")) {
    const wide = region.scrollWidth > region.clientWidth + 1 || region.scrollHeight > region.clientHeight + 1;
    if (wide === region.hasAttribute("tabindex")) continue;
    if (wide) {
      region.setAttribute("tabindex", "0");
      region.setAttribute("role", "region");
      region.setAttribute("aria-label", /** @type {HTMLElement} */ (region).dataset.label ?? "");
    } else {
      for (const attribute of ["tabindex", "role", "aria-label"]) region.removeAttribute(attribute);
    }
  }
}

/** The first rows of a long list, and the button for the rest. */
export class More {
  /** @param {() => void} redraw */
  constructor(redraw) {
    this.redraw = redraw;
    /** @type {Set<string>} */
    this.open = new Set();
  }

  /** @template T @param {string} id @param {T[]} list @param {number} first @returns {T[]} */
  of(id, list, first) {
    return this.open.has(id) ? list : list.slice(0, first);
  }

  /** @param {string} id @param {number} length @param {number} first @param {string} what @returns {Content} */
  button(id, length, first, what) {
    if (length <= first) return null;
    const open = this.open.has(id);
    return h("button", { type: "button", class: "more", key: `more ${id}`, "aria-expanded": String(open), on: { click: () => this.toggle(id) } },
      open ? `Show the first ${first}` : `Show all ${length} ${what}`);
  }

  /** @param {string} id */
  toggle(id) {
    if (!this.open.delete(id)) this.open.add(id);
    this.redraw();
  }
}

/** @param {unknown} ratio 0..1 */
export const width = (ratio) => `${Math.round(Math.min(1, Math.max(0, Number(ratio) || 0)) * 1000) / 10}%`;

/** @param {...Content} content */
export const empty = (...content) => h("p", { class: "muted empty" }, content);
