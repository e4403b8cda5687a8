// Examples: a clip for each end of the scale that raters have agreed on, shown in a dialog when it is asked for.

import { Film, Player } from "./film.js";
import { ask } from "./outbox.js";

const $ = (id) => document.getElementById(id);
const ENDS = { w: "worst", b: "best" };
const TITLES = { worst: "Others found this as bad as it gets", best: "Others found this as good as it gets" };
const AGAIN = 300000; // milliseconds after which it is asked whether there are better ones

export class Examples {
  constructor() {
    Object.assign(this, { known: {}, asked: -AGAIN, player: null });
    for (const end of Object.values(ENDS)) $(`see-${end}`).onclick = () => this.show(end);
    $("example-close").onclick = () => $("example").close();
    $("example-play").onclick = () => this.player?.toggle();
    $("example").onclose = () => this.end();
    $("example").onkeydown = (event) => this.pressed(event);
  }

  /** Ask which there are, now and then. Without an answer those from before stay. */
  async refresh() {
    if (performance.now() - this.asked < AGAIN) return;
    this.asked = performance.now();
    const { status, reply } = await ask("/api/examples");
    if (status === 200) this.known = reply;
    for (const end of Object.values(ENDS)) $(`see-${end}`).hidden = !this.known[end];
  }

  /** Obeys the key of an end that there is an example of; false where it is none. */
  obey(key) {
    if (!this.known[ENDS[key]]) return false;
    this.show(ENDS[key]);
    return true;
  }

  async show(end) {
    const { film, text } = this.known[end];
    const shown = new Film($("example-film"), film);
    $("example-title").textContent = TITLES[end];
    $("example-text").textContent = text;
    $("example-film").setAttribute("aria-label", `Example clip, ${film.frames} frames`);
    try {
      await shown.load();
    } catch {
      $("note").textContent = "The example did not come.";
      return;
    }
    this.end();
    const before = $("example-film").nextElementSibling;
    this.player = new Player([shown], (frame) => (before.hidden = frame >= film.context));
    if (!$("example").open) $("example").showModal();
    this.player.start();
  }

  end() {
    this.player?.end();
    this.player = null;
  }

  pressed(event) {
    const key = event.key.toLowerCase();
    if (event.target.closest("button") && (key === " " || key === "enter")) return; // the button's own
    if (key === "enter" || ENDS[key]) $("example").close();
    else if (key === " ") this.player?.toggle();
    else return;
    event.preventDefault();
  }
}
