// The gallery: answered clips, what was said beside what the reward model predicts, the largest difference first.

import { Film, Player } from "./film.js";
import { ask, post } from "./outbox.js";

const $ = (id) => document.getElementById(id);
let count = 0;

const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: 2, minimumFractionDigits: 2 }));

async function more(isNew) {
  if (isNew) {
    count = 0;
    $("cards").replaceChildren();
  }
  const { status, reply, words } = await ask(`/api/owner/gallery?order=${$("order").value}&after=${count}`);
  if (status !== 200) return ($("word").textContent = status === 401 ? "This page needs the owner’s link: `tandem label serve` prints it." : words);
  $("word").textContent = reply.total ? `${reply.total} answers. The scale runs from the worst to the best that a clip can be given.` : "Nothing has been answered yet.";
  $("cards").append(...reply.clips.map(card));
  count += reply.clips.length;
  $("more").hidden = count >= reply.total;
}

function card(clip) {
  const films = clip.films.map((film) => new Film(document.createElement("canvas"), film));
  const box = make("div", "films");
  if (films.length === 2) box.classList.add("two");
  box.append(...films.map((film) => frame(film)));
  const told = make("div", "told");
  told.append(...words(clip));
  const made = make("article", "card");
  made.append(box, told);
  watch(box, films);
  return made;
}

function frame(film) {
  const box = make("figure", "film");
  film.canvas.tabIndex = 0;
  film.canvas.setAttribute("role", "img");
  film.canvas.setAttribute("aria-label", `Clip of ${film.film.frames} frames; it plays while it has the focus`);
  const before = make("span", "before");
  Object.assign(before, { textContent: "what led there", hidden: true });
  box.append(film.canvas, before);
  return box;
}

function words(clip) {
  const who = make("p", "soft");
  who.append(clip.rater, make("span", "", `${number(clip.seconds)} s`));
  const values = make("p");
  values.append(mark("said", `said ${number(clip.label)}`), mark("thought", clip.prediction === null ? "no prediction yet" : `model ${number(clip.prediction)}`));
  return [values, scale(clip), who, practice(clip)];
}

/** The owner's own answer, which makes the clip practice for new raters, and later a question whose answer is known. */
function practice(clip) {
  const box = make("label", "practice soft", "Practice: ");
  const select = document.createElement("select");
  const as = { pair: [["left", "left"], ["same", "same"], ["right", "right"]], moments: [["as it was said", clip.verdict]] };
  const choices = as[clip.kind] ?? [1, 2, 3, 4, 5].map((one) => [`the answer is ${one}`, (one - 1) / 4]);
  select.append(new Option("not used", "null"), ...choices.map(([text, verdict]) => new Option(text, JSON.stringify(verdict))));
  select.value = JSON.stringify(clip.mark);
  select.onchange = async () => {
    const { status, words } = await post("/api/owner/mark", { question: clip.question, verdict: JSON.parse(select.value) });
    if (status !== 200) $("word").textContent = words;
  };
  box.append(select);
  return box;
}

function mark(look, text) {
  const box = make("span");
  box.append(make("span", `key ${look}`), text);
  return box;
}

function scale(clip) {
  const place = (value) => Math.max(0, Math.min(100, (100 * (value - clip.low)) / (clip.high - clip.low)));
  const box = make("div", "scale");
  const dot = (look, value) => put(make("span", `dot ${look}`), { left: `${place(value)}%` });
  if (clip.prediction !== null) {
    const [from, to] = [place(clip.label), place(clip.prediction)].sort((a, b) => a - b);
    box.append(put(make("span", "gap"), { left: `${from}%`, width: `${to - from}%` }), dot("thought", clip.prediction));
  }
  box.append(dot("said", clip.label));
  box.setAttribute("aria-hidden", "true");
  return box;
}

function put(made, style) {
  Object.assign(made.style, style);
  return made;
}

function make(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

/** Pictures come once a card is in sight, and move while it is pointed at, touched or focused. */
function watch(box, films) {
  let player = null;
  const seen = new IntersectionObserver(async ([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    await Promise.all(films.map((film) => film.load()));
    films.forEach((film) => film.draw(film.frames - 1));
  });
  const play = () => {
    if (player || films.some((film) => !film.canvas.dataset.loaded)) return;
    player = new Player(films, (at) => films.forEach((film) => (film.canvas.nextElementSibling.hidden = at >= film.film.context)));
    player.start();
    player.isPlaying = true;
  };
  const stop = () => {
    player?.end();
    player = null;
  };
  seen.observe(box);
  for (const begin of ["pointerenter", "focusin"]) box.addEventListener(begin, play);
  for (const end of ["pointerleave", "focusout"]) box.addEventListener(end, stop);
}

$("order").onchange = () => more(true);
$("more").onclick = () => more(false);
more(true);
