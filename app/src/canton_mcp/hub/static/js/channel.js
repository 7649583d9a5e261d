// A WebSocket that comes back by itself, and says how it is.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
// A stream that says nothing for so long is taken for dead.
const QUIET_MS = 15_000;

/**
 * @typedef {"connecting" | "live" | "polling" | "lost" | "signed-out"} State
 * @typedef {{
 *   query: () => string,
 *   received: (data: any) => void,
 *   changed?: (state: State) => void,
 *   ask?: () => Promise<any>,
 *   quiet?: boolean,
 * }} Options  `query` is asked at each attempt; `ask` gets one answer by HTTP when the stream is not to be had
 */

/** @param {string} path */
const address = (path) => {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
};

/** The hub's answer, as JSON; throws with `status` 0 when nobody answers. @param {string} path */
export async function get(path) {
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), { credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    throw Object.assign(new Error("the hub does not answer", { cause: error }), { status: 0 });
  }
  if (!answer.ok) throw Object.assign(new Error(`the hub answers ${answer.status}`), { status: answer.status });
  return answer.json();
}

export class Channel {
  /** @param {string} path @param {Options} options */
  constructor(path, options) {
    this.path = path;
    this.options = options;
    /** @type {State} */
    this.state = "connecting";
    this.failures = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.timer = 0;
    this.watch = 0;
    this.open();
  }

  open() {
    this.close();
    const url = address(this.path);
    url.search = this.options.query();
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.failures = 0;
      this.become("live");
      this.listen();
      let data;
      try {
        data = JSON.parse(event.data);
      } catch {
        return; // not ours
      }
      this.options.received(data);
    };
    socket.onopen = () => {
      if (socket !== this.socket) return;
      if (this.options.quiet) this.become("live");
      this.listen();
    };
    socket.onclose = () => {
      if (socket === this.socket) this.lost();
    };
  }

  /** Send now, if there is a stream; a new one begins with `query`. @param {unknown} data */
  send(data) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(data));
    else this.open();
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.watch);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  listen() {
    clearTimeout(this.watch);
    if (!this.options.quiet) this.watch = setTimeout(() => this.lost(), QUIET_MS);
  }

  async lost() {
    this.close();
    this.failures += 1;
    const failures = this.failures;
    let state = /** @type {State} */ ("lost");
    if (this.options.ask) {
      try {
        this.options.received(await this.options.ask());
        // The first loss of a stream is nothing to speak of: the next attempt is half a second away.
        state = failures > 1 ? "polling" : this.state;
      } catch (error) {
        if (/** @type {any} */ (error).status === 401) state = "signed-out";
      }
    }
    if (this.socket || failures !== this.failures) return;
    this.become(state);
    if (state === "signed-out") return;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1));
    this.timer = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
  }

  /** @param {State} state */
  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.options.changed?.(state);
  }
}
