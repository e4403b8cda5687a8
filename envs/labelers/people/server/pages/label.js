// The rater's page: a question at a time. What is said goes into the outbox first; the next question comes once it is sent.

import { Activity } from "./activity.js";
import { Answers } from "./answers.js";
import { Examples } from "./examples.js";
import { Film, Player } from "./film.js";
import { Outbox, ask, keep, kept, post } from "./outbox.js";

const $ = (id) => document.getElementById(id);
const HEARTBEAT = 15000; // milliseconds between two signs that somebody still looks at the question
const OFFLINE = "No connection";
const activity = new Activity();
const answers = new Answers(say, saveDraft);
const examples = new Examples();
let me = null, outbox = null, player = null, question = null, feedback = null, timer = null, isBusy = false;
let pace = 1; // of the films: that of the clip before

const name = (what) => `tandem-${what}-${me.run}-${me.name}`;

async function start() {
  const { status, reply, words } = await ask("/api/me");
  if (status === 401) return room("This page needs your link", "Open the address that you were given, with the token in it. Ask whoever invited you for a new one if it does not work.");
  if (status !== 200) return room(OFFLINE, `The page tries again by itself (${words}).`, { after: 3, then: start });
  me = reply;
  $("who").textContent = me.name;
  outbox = new Outbox(me.run, me.name, { accepted, refused, changed: tally });
  instruct(me.kind);
  tally();
  if (!kept(name("has-read"))) help();
  next();
}

function instruct(kind) {
  $("instructions").replaceChildren(...(me.instructions[kind] ?? me.instructions.clip).map((text) => Object.assign(document.createElement("p"), { textContent: text })));
  nameKeys(kind);
  $("worst").textContent = `1  ${me.worst}`;
  $("best").textContent = `${me.best}  5`;
}

/** Of the keys only those that mean something for this kind of question. */
function nameKeys(shown) {
  for (const kind of ["clip", "pair", "moments"]) document.querySelectorAll(`.for-${kind}`).forEach((one) => (one.hidden = kind !== shown));
}

/** The next question, after all that was said before has arrived. */
async function next() {
  if (isBusy) return;
  isBusy = true;
  try {
    await outbox.send();
    if (outbox.waiting.length) return room(OFFLINE, "Your answers are kept in this browser and will be sent. The next question comes once the connection is back.");
    if (feedback) return teach();
    const { status, reply, words } = await post("/api/next", {}, me.run);
    if (question) return; // an undo came in between
    if (status === 200 && reply.question) await show(reply.question);
    else if (status === 200) room(reply.title, reply.waiting, { after: reply.again_seconds, then: next });
    else room(status === 401 ? "You were signed out" : "Something is in the way", words, status === 401 ? {} : { after: 3, then: next });
  } finally {
    isBusy = false;
  }
}

/** A page without a question: why there is none, and what comes next. */
function room(title, text, { after = 0, then = null, button = "" } = {}) {
  clearTimeout(timer);
  player?.end();
  [player, question] = [null, null];
  $("work").hidden = true;
  $("room").hidden = false;
  $("room-title").textContent = title;
  $("room-text").textContent = text;
  Object.assign($("room-go"), { hidden: !button, textContent: button, onclick: then });
  if (button) $("room-go").focus();
  else if (then) timer = setTimeout(then, after * 1000);
}

async function show(asked) {
  clearTimeout(timer);
  player?.end();
  question = asked;
  answers.kind = "";
  const films = asked.films.map((film, i) => new Film(figure(asked, i), film));
  $("films").replaceChildren(...films.map((film) => film.canvas.parentElement));
  $("films").classList.toggle("two", films.length === 2);
  try {
    await Promise.all(films.map((film) => film.load()));
  } catch {
    return room("The picture did not come", "The page tries again by itself.", { after: 3, then: next });
  }
  if (question === asked) begin(films);
}

function begin(films) {
  const draft = kept(name("draft"));
  const context = films[0].film.context;
  player = new Player(films, moved);
  player.speed = pace;
  $("scrub").max = player.frames - 1;
  $("scrub").style.setProperty("--edge", `${(100 * context) / Math.max(1, player.frames - 1)}%`);
  $("prompt").textContent = question.prompt;
  instruct(question.kind);
  if (question.kind === "clip") examples.refresh();
  const mine = draft?.id === question.id ? draft : {};
  answers.begin(question.kind, player, context, mine);
  [$("room").hidden, $("work").hidden] = [true, false];
  if (films[0].film.why) note(`These are the numbers of it, over time: ${films[0].film.why}.`);
  activity.begin(mine.seconds ?? 0);
  player.start();
  $("prompt").focus({ preventScroll: true });
  tally();
}

function figure(asked, i) {
  const box = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const before = Object.assign(document.createElement("span"), { className: "before", textContent: "what led there", hidden: true });
  box.className = "film";
  box.append(canvas, before);
  if (asked.films.length === 2) box.append(Object.assign(document.createElement("figcaption"), { textContent: ["Left", "Right"][i] }));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${["Left clip", "Right clip"][asked.films.length === 2 ? i : 2] ?? "Clip"}, ${asked.films[i].frames} frames`);
  return canvas;
}

function moved(frame) {
  $("scrub").value = frame;
  $("scrub").setAttribute("aria-valuetext", `frame ${frame + 1} of ${player.frames}`);
  for (const film of player.films) film.canvas.nextElementSibling.hidden = frame >= film.film.context;
  $("play").textContent = player.isPlaying ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", player.isPlaying ? "Pause" : "Play");
}

function say(fields) {
  if (!question) return;
  const op = outbox.put("/api/answer", { question: question.id, seconds: activity.end(), ...fields });
  keep(name("last"), { uuid: op.body.uuid, question });
  leave();
}

function decline(path) {
  if (!question) return;
  outbox.put(path, { question: question.id, seconds: activity.end() });
  keep(name("last"), null);
  leave();
}

function leave() {
  keep(name("draft"), null);
  note("");
  question = null;
  next();
}

function undo() {
  if (answers.unmark()) return;
  const last = kept(name("last"));
  if (!last) return note("There is nothing to undo.");
  outbox.put("/api/undo", { answer: last.uuid });
  keep(name("last"), null);
  keep(name("draft"), null);
  feedback = null;
  show(last.question);
  note("Undone: answer again.");
}

function accepted(op, reply) {
  if (reply.today !== undefined) Object.assign(me, { today: reply.today, seconds_each: reply.seconds_each });
  if (reply.note) note(reply.note);
  feedback = reply.feedback ?? feedback;
}

function refused(op, words) {
  note(words);
  if (op.path !== "/api/undo") return;
  question = null; // it stands as it was
  setTimeout(next);
}

function teach() {
  const text = feedback;
  feedback = null;
  room("Practice", text, { button: "Next", then: next });
}

function tally() {
  const waiting = outbox.waiting.length;
  const each = me.seconds_each ? ` · ${me.seconds_each.toFixed(1)} s each` : "";
  const state = outbox.trouble ? `${waiting} not sent: ${outbox.trouble}` : waiting ? "saving" : "saved";
  const shown = Object.assign(document.createElement("span"), { className: outbox.trouble ? "state bad" : "state", textContent: state });
  $("tally").replaceChildren(`${me.today} today${each} · `, shown);
  if (!waiting && !$("room").hidden && $("room-title").textContent === OFFLINE) next();
}

function note(text) { $("note").textContent = text; }

function saveDraft() {
  if (!question || !me) return;
  activity.count();
  keep(name("draft"), { id: question.id, seconds: activity.seconds, ...answers.draft });
}

function help() {
  keep(name("has-read"), true);
  activity.count();
  $("help").showModal();
}

function speed(by) {
  player?.faster(by);
  pace = player?.speed ?? pace;
  $("speed").textContent = `${pace}×`;
  $("speed").setAttribute("aria-label", `Speed, ${pace} times`);
}

function play() {
  player?.toggle();
  if (player) moved(player.frame);
}

const KEYS = {
  x: () => decline("/api/cannot_tell"), n: () => decline("/api/skip"), z: undo, " ": play, "?": help,
  ",": () => player?.step(-1), ".": () => player?.step(1), "<": () => speed(-1), ">": () => speed(1),
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || !me) return;
  const [key, target] = [event.key.length === 1 ? event.key.toLowerCase() : event.key, event.target];
  if (target.closest("button") && (key === " " || key === "Enter")) return; // the button's own
  const isMove = ",.<>".includes(key) || (question?.kind === "clip" && ["ArrowLeft", "ArrowRight"].includes(key));
  if (event.repeat && !isMove) return;
  const isTaken = question && player && (answers.obey(key, target.matches("input[type=range]")) || (question.kind === "clip" && examples.obey(key)));
  if (!isTaken && !KEYS[key]) return;
  event.preventDefault();
  if (!isTaken) KEYS[key]();
}

addEventListener("keydown", pressed);
$("play").onclick = play;
$("back").onclick = KEYS[","];
$("forth").onclick = KEYS["."];
$("speed").onclick = () => speed(player?.speed === 4 ? -4 : 1);
$("scrub").oninput = () => { if (player) { player.isPlaying = false; player.seek(Number($("scrub").value)); } };
$("undo").onclick = undo;
$("unsure").onclick = KEYS.x;
$("skip").onclick = KEYS.n;
$("open-help").onclick = help;
$("close-help").onclick = () => $("help").close();
$("help").onkeydown = (event) => { if (event.key === "Enter") $("help").close(); };
$("answer").onsubmit = (event) => event.preventDefault();
setInterval(saveDraft, 1000);
setInterval(() => { if (question && activity.isActive) post("/api/heartbeat", { question: question.id }, me.run); }, HEARTBEAT);
start();
