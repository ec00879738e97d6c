/** Opens the model and the page, and connects each button and key to its action. */

import { Page } from "./page.js";
import { open } from "./reader/index.js";
import * as view from "./view.js";

const { $ } = view;

/** @param {Page} page */
function buttons(page) {
  const chosen = () => $("file").click();
  /** @type {Record<string, () => unknown>} */
  const actions = {
    start: () => page.again(),
    camera: () => page.start(),
    pause: () => page.pause(),
    skeleton: () => page.draw(),
    open: chosen,
    instead: chosen,
    copy: () => page.copy(),
    clear: () => page.clear(),
    practise: () => page.practise(),
    next: () => page.next(),
  };
  for (const [id, act] of Object.entries(actions)) $(id).onclick = act;
  $("file").onchange = () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) page.open(file);
  };
  $("threshold").oninput = () => {
    $("threshold-value").textContent = `${$("threshold").value} %`;
    page.threshold();
  };
  document.onkeydown = (event) => {
    if (!$("keys").checked || event.ctrlKey || event.metaKey || event.altKey) return;
    for (const id of Object.keys(actions)) {
      const button = $(id);
      if (button.getAttribute("aria-keyshortcuts") === event.key.toLowerCase()) button.click();
    }
  };
  document.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("drop");
  };
  document.ondragleave = () => document.body.classList.remove("drop");
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("drop");
    const file = event.dataTransfer?.files[0];
    if (file) page.open(file);
  };
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
}

/** The stored choices of the user: light or dark, and whether keys act as buttons. */
function remembered() {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  $("keys").checked = localStorage.getItem("keys") !== "off";
  $("keys").onchange = () => localStorage.setItem("keys", $("keys").checked ? "on" : "off");
}

async function main() {
  remembered();
  $("theme").onclick = theme;
  try {
    const page = new Page(await open("/model/", { packages: "/vendor/" }));
    buttons(page);
    await page.reader.ready;
    document.body.dataset.ready = "true";
    return page;
  } catch (error) {
    view.problem(/** @type {Error} */ (error));
    $("start").onclick = () => location.reload();
  }
}

/** The page, as soon as its model and its packages are loaded. */
export const opened = main();
