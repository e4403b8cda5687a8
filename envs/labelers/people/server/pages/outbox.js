// What a rater has said, kept in the browser until the server has it: each thing is sent with a uuid, in order, until it is acknowledged.
// Runs are served at one address one after the other: what is kept is named after its run, and sent with that name.

const SOONEST = 1000, LATEST = 10000, TIMEOUT = 15000; // milliseconds

export class Outbox {
  /** run: its identity. told: {accepted(op, reply), refused(op, words), changed()}. */
  constructor(run, rater, told) {
    Object.assign(this, { name: `tandem-outbox-${run}-${rater}`, run, told, isSending: false, wait: SOONEST, trouble: "", timer: null });
    addEventListener("online", () => this.send());
  }

  get waiting() { return kept(this.name) ?? []; }

  put(path, body) {
    const op = { path, body: { uuid: uuid(), ...body } };
    keep(this.name, [...this.waiting, op]);
    this.send();
    return op;
  }

  /** Send what waits, one after the other; resolves once all is sent, or it could not be. */
  send() {
    clearTimeout(this.timer);
    this.sending ??= this.sendAll().finally(() => (this.sending = null));
    return this.sending;
  }

  async sendAll() {
    for (let op = this.waiting[0]; op; op = this.waiting[0]) {
      this.told.changed();
      const { status, reply, words } = await post(op.path, op.body, this.run);
      // Whoever does not speak as the server does is something on the way, such as a proxy or a network's login page.
      const isServer = status < 300 ? "uuid" in reply || "today" in reply : "error" in reply;
      if (!isServer || status === 401 || status === 429 || status >= 500) return this.later(words);
      keep(this.name, this.waiting.filter((one) => one.body.uuid !== op.body.uuid)); // another tab may have sent it too
      [this.wait, this.trouble] = [SOONEST, ""];
      if (status < 300) this.told.accepted(op, reply);
      else this.told.refused(op, words);
    }
    this.trouble = "";
    this.told.changed();
  }

  later(words) {
    this.trouble = words;
    this.timer = setTimeout(() => this.send(), this.wait);
    this.wait = Math.min(LATEST, this.wait * 2);
    this.told.changed();
  }
}

/** {status, reply, words}; status 0 where no answer came, 401 where another run than `run` is served. */
export async function post(path, body = {}, run = "") {
  return ask(run ? `${path}?run=${run}` : path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

export async function ask(path, options = {}) {
  try {
    const answer = await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT) });
    const reply = await answer.json().catch(() => ({}));
    return { status: answer.status, reply, words: reply.error ?? `the server answered ${answer.status}` };
  } catch {
    return { status: 0, reply: {}, words: "no connection" };
  }
}

/** A uuid of version 4. crypto.randomUUID is there on https and on localhost alone, and a page may be exposed by plain http. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  [bytes[6], bytes[8]] = [(bytes[6] & 15) | 64, (bytes[8] & 63) | 128];
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const memory = {}; // where the browser keeps nothing, as in some private windows

export function keep(name, value) {
  memory[name] = value;
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch { /* memory has it */ }
}

export function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? memory[name];
  } catch {
    return memory[name];
  }
}
