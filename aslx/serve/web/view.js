/**
 * What the page shows. Only this module and main.js change the page's elements.
 *
 * @typedef {import("./reader/index.js").Character} Character
 * @typedef {import("./reader/index.js").Guess} Guess
 * @typedef {import("./reader/index.js").Shown} Shown
 */

import { words } from "./problems.js";
import { items, text as plain } from "./reader/text.js";

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);
/** @param {number} share */
export const percent = (share) => `${Math.round(share * 100)} %`;

/** Sets a text only if it differs: a screen reader speaks at every change of a live region. */
function write(/** @type {HTMLElement} */ element, /** @type {string} */ text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Character} item @param {number} threshold @param {boolean} tail */
function character({ text, confidence }, threshold, tail) {
  const span = document.createElement("span");
  span.textContent = text;
  span.style.setProperty("--sure", confidence.toFixed(2));
  span.title = `${text} ${percent(confidence)}`;
  span.classList.toggle("blank", text === " ");
  span.classList.toggle("doubt", confidence < threshold && !tail);
  span.classList.toggle("tail", tail);
  return span;
}

/**
 * @param {Shown} shown
 * @param {number} threshold
 */
export function text(shown, threshold) {
  const { characters, settled, guesses } = shown;
  const all = items(shown);
  const solid = all.length - Math.max(0, characters.length - settled);
  const spans = all.map((item, i) => character(item, threshold, i >= solid));
  const caret = document.createElement("span");
  caret.className = "caret";
  const box = $("text");
  box.replaceChildren(...spans, ...(spans.length ? [caret] : []));
  box.classList.toggle("empty", !spans.length);
  box.classList.toggle("words", Boolean(shown.words));
  box.setAttribute("aria-label", `Text: ${plain(shown) || "nothing yet"}`);
  box.scrollTop = box.scrollHeight;
  $("guesses").hidden = !guesses?.length;
  $("guesses").replaceChildren(...(guesses ?? []).map(guess));
}

/** @param {Guess} guess */
function guess({ name, probability }) {
  const item = document.createElement("li");
  item.style.setProperty("--sure", String(probability));
  const [label, number] = [document.createElement("span"), document.createElement("span")];
  label.textContent = name;
  number.textContent = percent(probability);
  item.append(label, number);
  return item;
}

/** @param {import("./reader/columns.js").Landmarks | null} landmarks */
export function hands(landmarks) {
  for (const part of /** @type {const} */ (["left_hand", "right_hand"])) {
    const seen = Boolean(landmarks?.[part]);
    $(part).dataset.seen = String(seen);
    write($(part).querySelector("b"), seen ? "seen" : "lost");
  }
}

/** @param {number} rate */
export function rate(rate) {
  $("rate").hidden = !rate;
  write($("rate").querySelector("b"), rate.toFixed(rate < 10 ? 1 : 0));
}

/** Whether anything runs that can be paused. @param {boolean} on */
export const running = (on) => ($("pause").disabled = !on);

/** @param {string} text */
export const note = (text) => write($("note"), text);

/** Says something for a while. @param {string} text */
export function say(text) {
  write($("done"), text);
  setTimeout(() => $("done").textContent === text && write($("done"), ""), 2500);
}

/** For a screen reader: what was read, once it stays. @param {string} text */
export function read(text) {
  const line = document.createElement("p");
  line.textContent = text;
  $("said").append(line);
  while ($("said").childElementCount > 20) $("said").firstChild.remove();
}

/** @param {Error & {help?: string, kind?: string}} error */
export function problem(error) {
  const card = $("card");
  card.hidden = false;
  card.classList.add("problem");
  const [title, help] = words(error);
  write($("card-title"), title);
  write($("card-help"), help);
  write($("start"), "Try again");
  note("");
  $("start").focus();
}

export function noProblem() {
  $("card").hidden = true;
  $("card").classList.remove("problem");
}

/** @param {{word: string, right: number, tried: number, streak: number}} practice @param {number} begun */
export function practice({ word, right, tried, streak }, begun) {
  const hit = document.createElement("span");
  hit.className = "hit";
  hit.textContent = word.slice(0, begun);
  $("word").replaceChildren(hit, word.slice(begun));
  const row = streak > 1 ? `, ${streak} in a row` : "";
  write($("score"), tried ? `${right} of ${tried} right${row}` : "");
}

/** @param {string} text @param {boolean | null} right */
export function verdict(text, right) {
  write($("verdict"), text);
  $("verdict").dataset.right = String(right);
}

/** @param {string} title */
export function files(title) {
  $("files").hidden = !title;
  write($("files-title"), title);
  about("");
  $("results").replaceChildren();
  delete $("results").dataset.whole;
}

/** How a file was read. @param {string} text */
export const about = (text) => write($("files-about"), text);

/**
 * A clip of a file, and its reading.
 * @param {string} name
 * @param {string} read
 * @param {string} sure
 * @param {() => void} [play]
 */
export function result(name, read, sure, play) {
  const button = document.createElement("button");
  for (const [kind, text] of Object.entries({ name, read, sure })) {
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = text;
    button.append(span);
  }
  if (play) button.onclick = play;
  const item = document.createElement("li");
  item.append(button);
  $("results").append(item);
}
