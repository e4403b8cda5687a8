// The owner's page: what is open, what it costs, and how good each rater is. It asks every few seconds.

import { ask, post } from "./outbox.js";

const $ = (id) => document.getElementById(id);
const AGAIN = 4000; // milliseconds
let timer = null, shown = "";

const number = (value, digits = 0) => (value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits }));
const part = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// Heading, cell of a rater, and whether it is a number.
const COLUMNS = [
  ["Rater", (one) => one.name, false],
  ["Answers", (one) => number(one.answers), true],
  ["Today", (one) => number(one.today), true],
  ["Each", (one) => (one.seconds_each ? `${number(one.seconds_each, 1)} s` : "–"), true],
  ["Wage / h", (one) => number(one.wage, 2), true],
  ["Earned", (one) => number(one.coins, 2), true],
  ["Skips", (one) => part(one.skip_rate), true],
  ["Agreement", (one) => part(one.agreement), true],
  ["Gold", (one) => (one.golds ? `${part(one.gold)} of ${one.golds}` : "–"), true],
  ["Sigma", (one) => number(one.sigma, 2), true],
  ["Bias", (one) => number(one.bias, 2), true],
  ["Clean / coin", (one) => number(one.clean_per_coin, 2), true],
];

async function refresh() {
  clearTimeout(timer);
  const { status, reply, words } = await ask("/api/owner");
  $("wrong").hidden = status === 200;
  if (status === 200) draw(reply);
  else $("wrong").textContent = status === 401 ? "This page needs the owner’s link: `tandem label serve` prints it." : `No news: ${words}. The page tries again by itself.`;
  if (status !== 401) timer = setTimeout(refresh, AGAIN);
}

function draw(told) {
  $("all").hidden = false;
  $("fresh").textContent = `as of ${new Date().toLocaleTimeString()}`;
  $("task").textContent = told.task;
  $("trainer").textContent = told.trainer;
  $("trainer").classList.toggle("wrong", !told.is_training);
  $("pause-all").textContent = told.is_paused ? "Go on" : "Pause all";
  $("pause-all").onclick = () => act("pause", { is_paused: !told.is_paused }, told.is_paused ? "Raters go on." : "Everybody is paused.");
  $("wage").placeholder = number(told.wage, 2);
  drawFigures(told.figures);
  const raters = JSON.stringify([told.raters, told.least_wage]);
  if (raters !== shown) drawRaters(told.raters, told.least_wage); // what has not changed keeps its focus
  shown = raters;
}

function drawFigures(figures) {
  const told = [
    ["Open", number(figures.open)], ["In work", number(figures.leased)], ["Oldest", duration(figures.oldest)],
    ["Answers / h", number(figures.answers_per_hour)], ["Coins / h", number(figures.coins_per_hour, 2)],
    ["Answered", number(figures.answered)], ["Coins paid", number(figures.coins, 2)], ["Skips", part(figures.skip_rate)], ["Agreement", part(figures.agreement)],
  ];
  $("figures").replaceChildren(...told.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
}

function drawRaters(raters, least) {
  $("nobody").hidden = raters.length > 0;
  document.querySelector("table").hidden = raters.length === 0;
  const heads = COLUMNS.map(([name, , isNumber]) => make("th", { textContent: name, scope: "col", className: isNumber ? "number" : "" }));
  $("columns").replaceChildren(...heads, make("th", { scope: "col", textContent: "" }));
  $("raters").replaceChildren(...raters.map((one) => row(one, least)));
}

function row(one, least) {
  const cells = COLUMNS.map(([name, cell, isNumber]) => {
    const made = make("td", { textContent: cell(one), className: isNumber ? "number" : "" });
    made.dataset.column = name;
    if (name === "Wage / h" && one.wage < least) {
      made.classList.add("bad");
      made.title = `below the minimum of ${least} an hour`;
    }
    return made;
  });
  for (const [is, words, look] of [[one.is_paused, "paused", "tag"], [one.is_retracted, "retracted", "tag wrong"], [one.is_left, "left by the chooser", "tag wrong"], [one.owed > 0, `${number(one.owed, 2)} not paid yet`, "tag"], [one.is_off_gold, "sees it otherwise than you", "tag wrong"], [one.wage < least, `wage under ${least}`, "tag wrong"]]) {
    if (is) cells[0].append(make("span", { textContent: words, className: look }));
  }
  const buttons = one.is_retracted ? [] : [
    button(one.is_paused ? "Go on" : "Pause", "", () => act("pause", { rater: one.name, is_paused: !one.is_paused }, `${one.name}: ${one.is_paused ? "goes on" : "paused"}.`)),
    button("Retract", "danger", () => sure(`Retract ${one.name}?`, "All their labels lose their weight in training. What they earned stays theirs.", "Retract", () => act("retract", { rater: one.name }, `${one.name} is retracted.`))),
  ];
  return make("tr", { className: one.is_paused || one.is_retracted ? "off" : "" }, ...cells, make("td", {}, make("div", { className: "row" }, ...buttons)));
}

function make(tag, fields, ...inside) {
  const made = Object.assign(document.createElement(tag), fields);
  made.append(...inside);
  return made;
}

const button = (words, look, onclick) => make("button", { type: "button", className: `small ${look}`, textContent: words, onclick });

async function act(what, body, done) {
  const { status, reply, words } = await post(`/api/owner/${what}`, body);
  $("done").textContent = status === 200 ? (reply.note ?? done) : words;
  await refresh();
  return status === 200 ? reply : null;
}

function sure(title, text, words, then) {
  [$("sure-title").textContent, $("sure-text").textContent, $("sure-yes").textContent] = [title, text, words];
  $("sure-yes").onclick = () => { $("sure").close(); then(); };
  $("sure").showModal();
}

$("sure-no").onclick = () => $("sure").close();
$("expire").onclick = () => sure("Expire all open questions?", "Nobody answers them any more, and their money goes back to the budget. The trainer asks about others with it.", "Expire", () => act("expire", {}, "Expired."));
$("add").onsubmit = async (event) => {
  event.preventDefault();
  const wage = $("wage").value === "" ? {} : { wage: Number($("wage").value) };
  const reply = await act("add", { name: $("name").value.trim(), ...wage }, "Added.");
  if (!reply) return;
  [$("link").hidden, $("link-name").textContent, $("link-text").textContent] = [false, reply.name, new URL(reply.path, location.href).href];
  $("add").reset();
};
$("copy").onclick = async () => {
  await navigator.clipboard?.writeText($("link-text").textContent);
  $("copy").textContent = "Copied";
};
refresh();
