// What can be said of a clip: a score, which of two is better, or moments. Each panel reads and restores a draft.

const $ = (id) => document.getElementById(id);
const MARKS = { 1: ["▲", "good"], "-1": ["▼", "poor"] };

/** 0 .. 1 as people see it: 1 .. 5. */
export const points = (score) => (1 + 4 * score).toFixed(1);

const STEP = 5; // of the slider's hundred: a fifth of the way from key to key

export class Answers {
  /** send(fields): the answer is given. changed(): the draft is another one. */
  constructor(send, changed) {
    Object.assign(this, { send, changed, kind: "", marks: [], player: null, context: 0 });
    for (const button of document.querySelectorAll("[data-score]")) button.onclick = () => send({ value: Number(button.dataset.score) });
    for (const button of document.querySelectorAll("[data-choice]")) button.onclick = () => send({ choice: button.dataset.choice });
    $("slider").oninput = () => this.slid();
    $("send-slider").onclick = () => send({ value: Number($("slider").value) / 100 });
    $("mark-good").onclick = () => this.mark(1);
    $("mark-poor").onclick = () => this.mark(-1);
    $("send-marks").onclick = () => send({ marks: this.marks });
  }

  begin(kind, player, context, draft = {}) {
    Object.assign(this, { kind, player, context, marks: draft.marks ?? [] });
    for (const one of ["clip", "pair", "moments"]) $(`${one}-answer`).hidden = one !== kind;
    $("slider").value = draft.slider ?? 50;
    this.isSet = draft.isSet ?? false; // a slider that nobody moved says nothing
    this.slid(false);
    this.drawMarks();
  }

  get draft() { return { slider: Number($("slider").value), isSet: this.isSet, marks: this.marks }; }

  slid(isNew = true) {
    const score = Number($("slider").value) / 100;
    $("slider-value").textContent = points(score);
    $("slider").setAttribute("aria-valuetext", `${points(score)} of 5`);
    this.isSet ||= isNew;
    $("send-slider").disabled = !this.isSet;
    $("slider").classList.toggle("unset", !this.isSet);
    if (isNew) this.changed();
  }

  /** By so many of its hundred, from the middle at first. */
  slide(by) {
    $("slider").value = Number($("slider").value) + by; // it ends where its range does
    this.slid();
    return true;
  }

  /** A mark on the frame that is seen; the same mark again takes it away. Frames of the context cannot be marked. */
  mark(worth) {
    const row = this.player.frame - this.context;
    if (row < 0) return false;
    const rest = this.marks.filter(([at]) => at !== row);
    const isThere = this.marks.some(([at, what]) => at === row && what === worth);
    this.marks = isThere ? rest : [...rest, [row, worth]];
    this.drawMarks();
    this.changed();
    return true;
  }

  /** Takes back the newest mark, and says whether there was one. */
  unmark() {
    const had = this.kind === "moments" && this.marks.length > 0;
    if (had) this.marks = this.marks.slice(0, -1);
    this.drawMarks();
    this.changed();
    return had;
  }

  drawMarks() {
    document.querySelectorAll(".track .mark").forEach((mark) => mark.remove());
    for (const [row, worth] of this.marks) {
      const mark = document.createElement("span");
      const [sign, look] = MARKS[worth];
      const part = (row + this.context) / Math.max(1, this.player.frames - 1);
      Object.assign(mark, { textContent: sign, className: `mark ${look}` });
      mark.style.left = `calc(${part} * (100% - 16px) + 8px)`; // the middle of a range's thumb
      $("scrub").parentElement.append(mark);
    }
    const count = this.marks.length;
    $("send-marks").textContent = count ? `Send ${count} ${count === 1 ? "mark" : "marks"}` : "Nothing happened";
  }

  /** Obeys a key of this kind of question; false where it is none. */
  obey(key, isInRange) {
    if (this.kind === "clip" && "12345".includes(key)) return this.press(document.querySelectorAll("[data-score]")[Number(key) - 1]);
    if (this.kind === "clip" && key === "Enter") return this.press($("send-slider"));
    if (this.kind === "clip" && !isInRange && key === "ArrowLeft") return this.slide(-STEP);
    if (this.kind === "clip" && !isInRange && key === "ArrowRight") return this.slide(STEP);
    if (this.kind === "pair" && !isInRange && key === "ArrowLeft") return this.press(document.querySelector('[data-choice="left"]'));
    if (this.kind === "pair" && !isInRange && key === "ArrowRight") return this.press(document.querySelector('[data-choice="right"]'));
    if (this.kind === "pair" && key === "e") return this.press(document.querySelector('[data-choice="same"]'));
    if (this.kind === "moments" && key === "s") return this.press($("mark-good"));
    if (this.kind === "moments" && key === "f") return this.press($("mark-poor"));
    if (this.kind === "moments" && key === "Enter") return this.press($("send-marks"));
    return false;
  }

  press(button) {
    button.click();
    return true;
  }
}
