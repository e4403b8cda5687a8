// Seconds of work: they pass only while the page can be seen and somebody has moved, touched or typed a short while ago.

const IDLE = 20; // seconds without a sign of life, after which the clock stands
const SIGNS = ["pointermove", "pointerdown", "keydown", "wheel", "touchmove"];

export class Activity {
  constructor() {
    Object.assign(this, { seconds: 0, then: performance.now(), sign: performance.now(), isOn: false });
    for (const sign of SIGNS) addEventListener(sign, () => this.alive(), { passive: true });
    document.addEventListener("visibilitychange", () => this.count());
    setInterval(() => this.count(), 500);
  }

  get isActive() { return this.isOn && !document.hidden && performance.now() - this.sign < IDLE * 1000; }

  alive() {
    this.count();
    this.sign = performance.now();
  }

  count() {
    const now = performance.now();
    // A gap is a machine that slept, or a tab that was hidden: the timer ticks twice a second while it is seen.
    if (this.isActive && now - this.then < 2000) this.seconds += (now - this.then) / 1000;
    this.then = now;
  }

  begin(seconds = 0) {
    this.alive();
    [this.seconds, this.isOn] = [seconds, true];
  }

  /** The seconds since begin, and the clock stands. */
  end() {
    this.count();
    this.isOn = false;
    return Math.round(this.seconds * 100) / 100;
  }
}
