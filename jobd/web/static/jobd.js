// The dashboard's manners: live parts, keys, times in the viewer's zone, selections.
// Every page and every act works without it. No framework, no build step, no inline handler.
"use strict";

const body = document.body;
const parts = "[data-refresh-part]";
const texts = body.dataset;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// Times: the server says them in UTC, people think in their own zone.

const zoned = new Intl.DateTimeFormat(document.documentElement.lang, {
  dateStyle: "medium", timeStyle: "medium",
});

const minute = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function localise(root) {
  for (const label of $$("text[data-time]", root)) {
    if (label.dataset.time && label.textContent) label.textContent = minute.format(new Date(label.dataset.time));
  }
  for (const time of $$("time[datetime]", root)) {
    const text = zoned.format(new Date(time.dateTime));
    if (time.classList.contains("exact")) time.textContent = text;
    else time.title = text;
  }
}

// What is sent by a field of date and time has no zone: the viewer's is added.
document.addEventListener("submit", (event) => {
  for (const field of $$("input[data-zone]", event.target)) {
    if (!field.value) continue;
    const hidden = document.createElement("input");
    hidden.type = "hidden";
    hidden.name = field.name;
    hidden.value = new Date(field.value).toISOString();
    field.removeAttribute("name");
    field.form.append(hidden);
  }
});

// Live: the page is fetched again, and those parts that have changed are brought up to date in
// place, so that focus, selection, open details and the scroll position stay.

function key(node) {
  return node.nodeType === 1 ? node.id || node.localName : node.nodeType;
}

// What the viewer has opened, ticked or typed is theirs, whatever the server says.
const theirs = new Set(["open", "checked", "value", "aria-pressed", "hidden"]);

function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== 1) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !theirs.has(name) && name !== "title") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !theirs.has(name) && name !== "nonce") old.setAttribute(name, value);
  }
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const known = new Map();
  for (const child of old.childNodes) if (child.id) known.set(child.id, child);
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const same = wanted.id ? known.get(wanted.id) : next && !next.id && key(next) === key(wanted) ? next : null;
    if (same) {
      if (same === next) next = next.nextSibling;
      else old.insertBefore(same, next);
      morph(same, wanted);
    } else {
      old.insertBefore(document.importNode(wanted, true), next);
    }
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

const live = $("#live");
let timer = 0;

function isLive() {
  return live && live.getAttribute("aria-pressed") === "true";
}

// Nothing moves under a hand that is about to press or that has selected something.
function isBusy() {
  return Boolean($(".confirm[open], .edit[open], dialog[open], #jobs input:checked"));
}

async function refresh() {
  timer = 0;
  if (!isLive() || document.hidden) return;
  if (!isBusy()) {
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!response.ok && response.status !== 404) throw new Error(response.statusText);
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!isBusy()) show(fresh);
      // What the page is about may end while somebody looks at it.
      say(response.ok ? texts.live : texts.gone, !response.ok);
    } catch {
      say(texts.offline, true);
    }
  }
  plan();
}

function show(fresh) {
  for (const part of $$(parts)) {
    const wanted = part.id && fresh.getElementById(part.id);
    if (!wanted) continue;
    localise(wanted);
    morph(part, wanted);
  }
  mark();
}

function say(text, isOffline) {
  $(".word", live).textContent = isLive() ? text : texts.paused;
  live.classList.toggle("offline", isOffline && isLive());
}

function plan() {
  const seconds = $("[data-soon]") ? 1 : Number(texts.refresh);
  if (!timer && isLive() && !document.hidden) timer = setTimeout(refresh, 1000 * seconds);
}

function setLive(on) {
  live.setAttribute("aria-pressed", String(on));
  localStorage.setItem("jobd-live", on ? "on" : "off");
  say(texts.live, false);
  clearTimeout(timer);
  timer = 0;
  if (on) refresh();
}

if (live) {
  live.hidden = false;
  live.setAttribute("aria-pressed", String(localStorage.getItem("jobd-live") !== "off"));
  say(texts.live, false);
  live.addEventListener("click", () => setLive(!isLive()));
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = 0;
    if (!document.hidden) refresh();
  });
  plan();
}

// Selections: with Shift from the last one on; how many is said beside the buttons.

let last = null;

function boxes() {
  return $$('#jobs input[name="id"]');
}

function count() {
  const chosen = boxes().filter((box) => box.checked).length;
  for (const place of $$(".chosen")) place.textContent = chosen ? `${chosen} ${texts.selected}` : "";
  const all = $("#jobs input.all");
  if (all) {
    all.checked = chosen > 0 && chosen === boxes().length;
    all.indeterminate = chosen > 0 && !all.checked;
  }
}

document.addEventListener("click", (event) => {
  const box = event.target.closest('#jobs input[type="checkbox"]');
  if (box && box.classList.contains("all")) {
    for (const each of boxes()) each.checked = box.checked;
  } else if (box) {
    if (event.shiftKey && last) {
      const [from, to] = [boxes().indexOf(last), boxes().indexOf(box)].sort((a, b) => a - b);
      for (const each of boxes().slice(from, to + 1)) each.checked = box.checked;
    }
    last = box;
  }
  if (box) count();
  for (const open of $$(".confirm[open]")) if (!open.contains(event.target)) open.open = false;
});

// The row that the keys act on.

let row = "";

function rows() {
  return $$(".list tbody tr");
}

function mark() {
  for (const each of rows()) each.classList.toggle("here", Boolean(row) && each.id === row);
  count();
}

function step(by) {
  const every = rows().filter((each) => each.id);
  if (!every.length) return;
  const at = every.findIndex((each) => each.id === row);
  const next = every[Math.min(Math.max(at < 0 ? (by > 0 ? 0 : every.length - 1) : at + by, 0), every.length - 1)];
  row = next.id;
  mark();
  next.scrollIntoView({ block: "nearest" });
}

const here = () => rows().find((each) => row && each.id === row);
let went = false;

const keys = {
  "?": () => $("#help").showModal(),
  "/": () => ($("[data-search]") || $("#jid")).focus(),
  j: () => step(1),
  k: () => step(-1),
  l: () => live && setLive(!isLive()),
  x: () => here()?.querySelector('input[name="id"]')?.click(),
  Enter: () => here()?.querySelector("a")?.click(),
  Escape: () => { for (const open of $$(".confirm[open]")) open.open = false; },
  g: () => { went = true; setTimeout(() => { went = false; }, 1500); },
};

// The palette: what the page "Jump to" finds, over this one.

const palette = $("#palette");
const wanted = $("#palette-q");
let pending = 0;
let lookUps = 0;

async function lookUp() {
  clearTimeout(pending);
  const number = ++lookUps;
  const response = await fetch(`${texts.base}/jump?q=${encodeURIComponent(wanted.value)}`, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!response.ok) throw new Error(response.statusText);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  // An earlier answer may come later.
  if (number === lookUps) offer($$("#targets > li", fresh));
}

// What is focused stays so, as long as it is still among them: else its Enter would be lost.
function offer(targets) {
  const address = document.activeElement.closest("#palette a")?.getAttribute("href");
  $(".targets", palette).replaceChildren(...targets.map((each) => document.importNode(each, true)));
  if (address) ($$("a", palette).find((each) => each.getAttribute("href") === address) ?? wanted).focus();
}

// Its failure shows when Enter is pressed, which asks again.
const suggest = () => lookUp().catch(() => {});

function openPalette() {
  wanted.value = "";
  palette.showModal();
  suggest();
}

wanted.addEventListener("input", () => {
  clearTimeout(pending);
  pending = setTimeout(suggest, 100);
});

wanted.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await lookUp();
    $("a", palette)?.click();
  } catch {
    wanted.form.submit();
  }
});

palette.addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const every = [wanted, ...$$("a", palette)];
  every[Math.min(Math.max(every.indexOf(document.activeElement) + by, 0), every.length - 1)].focus();
});

$("#jump-link").addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openPalette();
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "k" && !$("dialog[open]")) {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  if (event.target.closest("input:not([type=checkbox]), textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  // Enter on something that can be pressed presses that.
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  const page = went && $(`nav a[data-key="${CSS.escape(event.key)}"]`);
  went = false;
  if (page) {
    page.click();
  } else if (keys[event.key]) {
    keys[event.key]();
  } else {
    return;
  }
  event.preventDefault();
});

const help = $("#help-button");
help.parentElement.hidden = false;
help.addEventListener("click", () => $("#help").showModal());

for (const button of $$("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = texts.copied;
  });
}

// A note is said once: a reload or a bookmark should not repeat it.
const address = new URL(location.href);
if (address.searchParams.has("done")) {
  address.searchParams.delete("done");
  address.searchParams.delete("n");
  history.replaceState(null, "", address);
}

localise(document);
mark();
$("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
