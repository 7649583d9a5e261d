// Numbers, times and names as people read them. An unknown value is a dash.

export const UNKNOWN = "–";
const LONGEST_NAME = 64;
// Direction marks and invisible characters, by which one name could pass for another.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });
const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** @param {unknown} value @returns {value is number} */
export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Text from the wire, cut and without invisible characters. @param {unknown} text */
export function name(text, longest = LONGEST_NAME) {
  const clean = String(text ?? "").replace(INVISIBLE, "\u00b7");
  return clean.length > longest ? `${clean.slice(0, longest - 1)}…` : clean;
}

/** @param {unknown} value */
export function count(value) {
  if (!known(value)) return UNKNOWN;
  return Math.abs(value) >= 1e6 ? compact.format(value) : whole.format(value);
}

/** A number with one decimal below 100. @param {unknown} value */
export function rate(value) {
  if (!known(value)) return UNKNOWN;
  return Math.abs(value) >= 1e6 ? compact.format(value) : Math.abs(value) >= 100 ? whole.format(value) : tenths.format(value);
}

/** @param {unknown} ratio of 1 */
export function percent(ratio) {
  if (!known(ratio)) return UNKNOWN;
  const value = ratio * 100;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value >= 10 ? whole.format(value) : tenths.format(value)} %`;
}

/** @param {unknown} value in milliseconds */
export function ms(value) {
  if (!known(value)) return UNKNOWN;
  if (value >= 60_000) return `${tenths.format(value / 60_000)} min`;
  if (value >= 1000) return `${tenths.format(value / 1000)} s`;
  return `${value >= 10 ? whole.format(value) : tenths.format(value)} ms`;
}

/** @param {unknown} value in seconds */
export function span(value) {
  if (!known(value)) return UNKNOWN;
  const seconds = Math.max(0, value);
  if (seconds < 90) return `${whole.format(seconds)} s`;
  if (seconds < 5400) return `${whole.format(seconds / 60)} min`;
  if (seconds < 172_800) return `${tenths.format(seconds / 3600)} h`;
  return `${whole.format(seconds / 86_400)} days`;
}

/** @param {unknown} value in seconds */
export const ago = (value) => (known(value) ? (value < 1 ? "now" : `${span(value)} ago`) : "never");

/** Time of day, with the date when that was not within the last 20 hours. @param {unknown} unix @param {number} now */
export function clock(unix, now) {
  if (!known(unix)) return UNKNOWN;
  return (Math.abs(now - unix) > 72_000 ? day : hour).format(unix * 1000);
}

/** @param {unknown} unix */
export const exact = (unix) => (known(unix) ? second.format(unix * 1000) : UNKNOWN);

/** "1 call", "2 calls" @param {number} number @param {string} one @param {string} [many] */
export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : (many ?? `${one}s`)}`;

/** An amount of the smallest units of a currency. @param {unknown} amount @param {number | null} decimals */
export function money(amount, decimals) {
  if (!known(amount)) return UNKNOWN;
  if (decimals === null || decimals === undefined) return `${whole.format(amount)} units`;
  return new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 6 }).format(amount / 10 ** decimals);
}

/** @param {unknown} bytes */
export function size(bytes) {
  if (!known(bytes)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${tenths.format(bytes / 1024 ** step)} ${units[step]}`;
}
