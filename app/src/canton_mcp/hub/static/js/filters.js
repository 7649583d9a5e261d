// What is shown: the window, servers and tools, kept in the address of the page.

/** @typedef {{window: string, sid: string[], tool: string[]}} Filters */

/** @type {readonly [string, string][]} */
export const WINDOWS = [["5m", "5 min"], ["1h", "1 h"], ["24h", "24 h"]];

/** @param {string} search the query of an address @returns {Filters} */
export function fromQuery(search) {
  const query = new URLSearchParams(search);
  const window = query.get("window") ?? "";
  return {
    window: WINDOWS.some(([value]) => value === window) ? window : WINDOWS[0][0],
    sid: [...new Set(query.getAll("sid").filter(Boolean))],
    tool: [...new Set(query.getAll("tool").filter(Boolean))],
  };
}

/** The address of the page with these filters; defaults are left out. @param {Filters} filters */
export function toQuery(filters) {
  const query = new URLSearchParams();
  if (filters.window !== WINDOWS[0][0]) query.set("window", filters.window);
  for (const sid of filters.sid) query.append("sid", sid);
  for (const tool of filters.tool) query.append("tool", tool);
  const text = query.toString();
  return text ? `?${text}` : "";
}

/** The query of the hub's interface. @param {Filters} filters */
export function toRequest(filters) {
  const query = new URLSearchParams({ window: filters.window });
  if (filters.sid.length) query.set("sid", filters.sid.join(","));
  if (filters.tool.length) query.set("tool", filters.tool.join(","));
  return query.toString();
}

/** The list with this value put in or taken out. @param {string[]} list @param {string} value */
export const toggled = (list, value) => (list.includes(value) ? list.filter((other) => other !== value) : [...list, value]);

/** @param {Filters} filters */
export const filtered = (filters) => filters.sid.length + filters.tool.length > 0;
