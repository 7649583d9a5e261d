// The hub's report, as /api/report and /ws/stats give it. Times are milliseconds unless named; unknown is null.

/** @typedef {{severity: string, sid: string | null, tool: string | null, what: string, detail: string, do: string}} Headline */

/**
 * @typedef {{sid: string, name: string | null, host: string | null, port: number | null, url: string | null, expected: boolean,
 *   state: "up" | "idle" | "silent" | "never", last_seen: number | null, age_seconds: number | null, silent_after_seconds: number | null,
 *   calls: number, calls_per_minute: number | null, errors: number, error_ratio: number | null, error_low: number | null,
 *   error_high: number | null, p50_ms: number | null, p95_ms: number | null, p99_ms: number | null, load_share: number | null,
 *   time_share: number | null, concurrency: number | null, loss_ratio: number | null, lost: number | null,
 *   skew_seconds: number | null, nonconformant: number, spark: number[]}} Server
 */

/** @typedef {{sid: string, calls: number, errors: number, error_ratio: number | null, p50_ms: number | null, p95_ms: number | null, p99_ms: number | null, few: boolean}} Cell */

/** @typedef {{start: number, step_seconds: number, calls: Record<string, (number | null)[]>, errors: Record<string, (number | null)[]>, p95_ms: Record<string, (number | null)[]>}} Series */

/**
 * @typedef {{received: number, accepted: number, rejected: Record<string, number>, kernel_drops: number | null,
 *   sources: {address: string, sid: string, received: number, rejected: number, rate_limited: number}[],
 *   flags: {sid: string, flag: string, count: number}[], unknown_types: number,
 *   websocket: {clients: number, dropped: number} | null,
 *   store: {bytes: number | null, oldest: number | null, committed_until: number | null} | null}} Quality
 */

/**
 * @typedef {{at: number, since: number, window: string, window_seconds: number, filters: {sid: string[], tool: string[]},
 *   known: {sids: string[], tools: string[]}, headlines: Headline[],
 *   fleet: {servers: number, expected: number, up: number, idle: number, silent: number, never: number, calls: number,
 *     calls_per_minute: number, errors: number, error_ratio: number | null, p50_ms: number | null, p95_ms: number | null,
 *     p99_ms: number | null, imbalance: number | null, loss_ratio: number | null},
 *   servers: Server[], compare: {tool: string, cells: Cell[]}[],
 *   tools: {tool: string, calls: number, errors: number, error_ratio: number | null, total_ms: number, time_share: number | null, p95_ms: number | null}[],
 *   bottlenecks: {kind: string, sid: string | null, tool: string | null, value: number | null, against: number | null, what: string, do: string}[],
 *   errors: {sid: string, tool: string, error_code: string, count: number, ratio: number | null, last_seen: number | null}[],
 *   patterns: {sid: string, tool: string, error_type: string, frequency: number | null, trigger: string | null, mitigation: string | null, last_seen: number | null}[],
 *   quality: Quality, cost: {sid: string, currency: string, amount: number, decimals: number | null}[], series: Series}} Report
 */

export {};
