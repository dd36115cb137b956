"use strict";

const WORDS = {
  en: {
    other: "中文", title: "Blind comparison", theme: "Light or dark", progress: "Progress",
    question: "Which text is better?",
    intro: "You will see two texts on the same prompt at a time, and say which is the better piece of writing. Nobody, you included, is told who wrote them until the end; a few pairs come twice.",
    rules: "There is no right answer. If you like both equally, say so. Every answer is saved at once: you may close the page and go on later.",
    amount: n => `${n} pairs.`, count: (done, all) => `${done} of ${all}`,
    begin: "Begin", prompt: "The prompt for both", passage: "Both go on from here", a: "A", b: "B",
    left: "A is better", right: "B is better", tie: "Equal", undo: "Undo", skip: "Skip",
    reason: "Why?", hint: "optional",
    now: (n, all) => `Pair ${n} of ${all}.`, undone: "The last answer is taken back.",
    done: "That was the last pair.",
    sealed: "The result names the systems. After that your answers can no longer be changed.",
    reveal: "Show the result", empty: "(no text)",
    lost: "The server does not answer. Your answers so far are saved; start the command again and reload this page.",
    step: "This page is open twice, or an answer was already taken; here is the pair whose turn it is.",
    preferred: (a, b) => `${a} is preferred to ${b}`, undecided: (a, b) => `No preference between ${a} and ${b} can be told`,
    share: (a, p) => `${a} is preferred ${p} of the time (Bradley-Terry, a tie counted as half).`,
    meeting: "Pair", won: "preferred", tied: "equal", lostTo: "not preferred", rate: "win rate",
    system: "System", strength: "log strength", sound: "How far to trust this",
    verdicts: "Verdicts", verdictsIs: s => `${s.verdicts}, ${percent(s.ties)} ties, ${s.skipped} skipped`,
    power: "Pairs needed", powerIs: e => `${e.pairs_needed} of two systems to see a preference of ${percent(e.asked)}; ` + (e.seen_with_these ? `these can see ${percent(e.seen_with_these)} or more of any two` : "these are too few to see any"),
    side: "Left side preferred", sideIs: p => `${p} (50% is no bias)`, time: "Time per pair", timeIs: s => `${Math.round(s.median)} s (median)`,
    self: "With oneself", selfIs: (p, n) => `${p} the same when ${n} pairs came again, sides swapped`,
    others: "With others", othersIs: (p, n, alpha) => `${p} the same of ${n} shared pairs; Krippendorff's alpha ${alpha}`,
    unmeasured: "not measured", kept: "Everything is saved beside the judgements as JSON and Markdown. You may close this page.",
    interval: (v, low, high) => `${v} [${low} to ${high}]`,
  },
  zh: {
    other: "English", title: "盲评", theme: "浅色或深色", progress: "进度",
    question: "哪一篇更好？",
    intro: "每次您会看到同一题目下的两篇文字，请判断哪一篇写得更好。全部评完之前，包括您在内没有人会被告知出自谁手；少数几对会出现两次。",
    rules: "没有标准答案。若觉得不相上下，就选“一样好”。每个回答都会立即保存，可以随时关闭页面，以后再继续。",
    amount: n => `共 ${n} 对。`, count: (done, all) => `${done} / ${all}`,
    begin: "开始", prompt: "两篇的题目", passage: "两篇都从这里接着写", a: "甲", b: "乙",
    left: "甲更好", right: "乙更好", tie: "一样好", undo: "撤回", skip: "跳过",
    reason: "理由", hint: "可不填",
    now: (n, all) => `第 ${n} 对，共 ${all} 对。`, undone: "已撤回上一个回答。",
    done: "已是最后一对。",
    sealed: "结果会公布各篇出自哪个系统。公布之后，您的回答不能再改。",
    reveal: "查看结果", empty: "（没有文字）",
    lost: "服务器没有回应。此前的回答都已保存；请重新运行命令，再刷新本页。",
    step: "本页可能打开了两次，或回答已经收到；现在显示的是轮到的一对。",
    preferred: (a, b) => `${a} 胜过 ${b}`, undecided: (a, b) => `${a} 与 ${b} 之间看不出偏好`,
    share: (a, p) => `偏好 ${a} 的比例为 ${p}（Bradley-Terry 模型，平局算一半）。`,
    meeting: "比较", won: "更好", tied: "一样好", lostTo: "较差", rate: "胜率",
    system: "系统", strength: "对数强度", sound: "结果有多可靠",
    verdicts: "判断", verdictsIs: s => `${s.verdicts} 次，平局 ${percent(s.ties)}，跳过 ${s.skipped} 次`,
    power: "所需对数", powerIs: e => `要看出两个系统间 ${percent(e.asked)} 的偏好需要 ${e.pairs_needed} 对；` + (e.seen_with_these ? `现有的能看出任何两个系统间 ${percent(e.seen_with_these)} 以上的偏好` : "现有的太少，什么偏好也看不出"),
    side: "偏好左侧", sideIs: p => `${p}（50% 为没有偏向）`, time: "每对用时", timeIs: s => `${Math.round(s.median)} 秒（中位数）`,
    self: "与自己一致", selfIs: (p, n) => `${n} 对左右互换后重现，${p} 判断相同`,
    others: "与他人一致", othersIs: (p, n, alpha) => `共同评过的 ${n} 对中 ${p} 相同；Krippendorff α ${alpha}`,
    unmeasured: "未测量", kept: "结果已保存在评判记录旁（JSON 与 Markdown）。可以关闭本页。",
    interval: (v, low, high) => `${v} [${low} 至 ${high}]`,
  },
};

const $ = id => document.getElementById(id);
const kept = { get: key => { try { return localStorage.getItem(key); } catch { return null; } }, set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window */ } } };

let language = kept.get("blind-language");
let state = null;
let summary = null;
let busy = true;  // no key counts before the first pair is there
let begun = false;
let looked = 0;
let since = null;

const t = key => WORDS[language][key];
const percent = share => `${Math.round(100 * share)}%`;

/* ---- what the server says ------------------------------------------------------------------------------------- */

async function call(path, body) {
  const options = body ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : {};
  const answer = await fetch(`/api/${path}`, options);
  return { ok: answer.ok, status: answer.status, value: await answer.json() };
}

async function ask(path, body, said) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    const { ok, status, value } = await call(path, body);
    if (ok) {
      complain("");
      if (path === "result") summary = value; else state = value;
      if (path !== "result") $("reason").value = "";
      begun = true;
      show(said);
    } else if (status === 409) {
      state = (await call("state")).value;
      show();
      complain(t("step"));
    } else complain(value.error);
  } catch {
    complain(t("lost"));
  } finally {
    setTimeout(ready, 250);  // a key that bounces is not a second answer
  }
}

function ready() {
  busy = false;
  document.body.removeAttribute("aria-busy");
}

const judge = choice => ask("judge", { place: state.pair.place, choice, seconds: seconds(), reason: $("reason").value });
const undo = () => state.done && ask("undo", {}, t("undone"));

/* ---- what is on the page: texts only ever as text -------------------------------------------------------------- */

function make(tag, content, attributes = {}) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...[content].flat());
  return node;
}

function write(place, text, spoken) {
  const paragraphs = text.split("\n").filter(line => line.trim()).map(line => make("p", line));
  place.lang = spoken === "zh" ? "zh-Hans" : "en";
  place.replaceChildren(...(paragraphs.length ? paragraphs : [make("p", t("empty"), { class: "empty" })]));
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  document.title = t("title");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  $("reason").placeholder = t("hint");
  $("language").textContent = t("other");
  $("language").lang = language === "zh" ? "en" : "zh-Hans";
}

function show(said = "") {
  translate();
  const { pair, done, total } = state;
  const page = summary ? "result" : !pair ? "end" : begun || done ? "judging" : "start";
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== page;
  $("progress").hidden = page === "start";
  $("bar").value = total ? done / total : 1;
  $("count").textContent = t("count")(done, total);
  $("amount").textContent = t("amount")(total);
  $("undo").disabled = !done;
  $("back").disabled = !done;
  if (page === "judging") {
    $("asked").hidden = !pair.prompt;
    $("asked-title").textContent = t(pair.continues ? "passage" : "prompt");
    write($("prompt"), pair.prompt, pair.language);
    write($("text-a"), pair.left, pair.language);
    write($("text-b"), pair.right, pair.language);
    looked = 0;
    since = document.hidden ? null : performance.now();
    said = `${said} ${t("now")(done + 1, total)}`;
  }
  if (page === "result") tell();
  $("status").textContent = said.trim();
  scrollTo(0, 0);
  const heading = page === "judging" && !pair.prompt ? $("name-a") : $(page).querySelector("h2");
  heading?.focus({ preventScroll: true });
}

function complain(message) {
  $("alert").textContent = message;
  $("alert").hidden = !message;
}

/* ---- the time for which a pair was in sight -------------------------------------------------------------------- */

function seconds() {
  return (looked + (since === null ? 0 : performance.now() - since)) / 1000;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden && since !== null) { looked += performance.now() - since; since = null; }
  else if (!document.hidden && since === null) since = performance.now();
});

/* ---- the result ------------------------------------------------------------------------------------------------ */

const bounds = ({ value, low, high }, form = percent) => low === null ? form(value) : t("interval")(form(value), form(low), form(high));
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

function table(head, rows) {
  const top = make("thead", make("tr", head.map(cell => make("th", cell, { scope: "col" }))));
  const body = make("tbody", rows.map(row => make("tr", row.map(cell => make("td", String(cell))))));
  return make("div", make("table", [top, body]), { class: "wide", tabindex: "0", role: "region", "aria-label": head[0] });
}

function scale({ value, low, high }, first, second) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const draw = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, number] of Object.entries(attributes)) node.setAttribute(key, number);
    svg.append(node);
  };
  const at = share => `${100 * (1 - share)}%`;  // the first system stands on the left
  svg.setAttribute("aria-hidden", "true");
  draw("line", { class: "axis", x1: "0%", x2: "100%", y1: "50%", y2: "50%" });
  draw("line", { class: "middle", x1: "50%", x2: "50%", y1: "10%", y2: "90%" });
  if (low !== null) draw("line", { class: "interval", x1: at(high), x2: at(low), y1: "50%", y2: "50%" });
  draw("circle", { class: "point", cx: at(value), cy: "50%", r: 7 });
  return [make("div", svg, { class: "scale" }), make("div", [make("span", first), make("span", second)], { class: "ends" })];
}

function tell() {
  const { meetings, systems } = summary;
  const parts = meetings.flatMap(({ first, second, model }) => {
    const clear = model.low !== null && (model.low > 0.5 || model.high < 0.5);
    const answer = clear ? t("preferred")(...(model.value > 0.5 ? [first, second] : [second, first])) : t("undecided")(first, second);
    return [make("h2", answer, { tabindex: "-1" }), make("p", t("share")(first, bounds(model))), ...scale(model, first, second)];
  });
  parts.push(table([t("meeting"), t("won"), t("tied"), t("lostTo"), t("rate")], meetings.map(m =>
    [`${m.first} – ${m.second}`, m.wins, m.ties, m.losses, m.win_rate ? bounds(m.win_rate) : "–"])));
  if (meetings.length > 1) parts.push(table([t("system"), t("strength")], Object.entries(systems).map(([name, s]) => [name, bounds(s, signed)])));
  parts.push(make("h3", t("sound")), trust(), make("p", t("kept"), { class: "plain" }));
  $("result").replaceChildren(...parts);
}

function trust() {
  const { left_side: side, seconds: time, with_oneself: self, with_each_other: others } = summary;
  const alpha = others && others.alpha !== null ? others.alpha.toFixed(2) : "–";
  const lines = [
    [t("verdicts"), t("verdictsIs")(summary)],
    [t("power"), t("powerIs")(summary.effect)],
    [t("side"), side ? t("sideIs")(bounds(side)) : t("unmeasured")],
    [t("time"), time ? t("timeIs")(time) : t("unmeasured")],
    [t("self"), self ? t("selfIs")(bounds(self), self.n) : t("unmeasured")],
    [t("others"), others ? t("othersIs")(bounds(others.same), others.pairs, alpha) : t("unmeasured")],
  ];
  return make("dl", lines.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}

/* ---- hands ----------------------------------------------------------------------------------------------------- */

const KEYS = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right", 0: "tie", s: "skip" };

document.addEventListener("keydown", event => {
  // An input method that is composing owns its keys; so do held keys, shortcuts of the browser, and the text field.
  if (event.isComposing || event.keyCode === 229 || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target === $("reason")) {
    if (event.key === "Escape") $("reason").blur();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const judging = !$("judging").hidden;
  if (key === "u" && (judging || !$("end").hidden)) undo();
  else if (judging && key === "r") $("reason").focus();
  else if (judging && KEYS[key]) judge(KEYS[key]);
  else return;
  event.preventDefault();
});

for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => judge(button.dataset.choice));
$("undo").addEventListener("click", undo);
$("back").addEventListener("click", undo);
$("begin").addEventListener("click", () => { begun = true; show(); });
$("reveal").addEventListener("click", () => ask("result", {}));

$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  kept.set("blind-language", language);
  const [before, time] = [looked, since];
  if (state) { show(); [looked, since] = [before, time]; } else translate();
  $("language").focus();
});

function paint(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

$("theme").addEventListener("click", () => {
  const dark = (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  paint(dark ? "light" : "dark");
  kept.set("blind-theme", dark ? "light" : "dark");
});

(async () => {
  paint(kept.get("blind-theme"));
  try {
    const { ok, value } = await call("state");
    language ??= ok ? value.language : "en";
    if (!ok) { translate(); complain(value.error); return; }
    state = value;
    if (state.revealed) summary = (await call("result", {})).value;
    show();
    ready();
  } catch {
    language ??= "en";
    translate();
    complain(t("lost"));
  }
})();
