/** The page: what each button does, and what is shown of what was read. */

import { skeleton } from "./draw.js";
import { Practice, words } from "./practice.js";
import * as problems from "./problems.js";
import { Letters } from "./readers/letters.js";
import { Signs } from "./readers/signs.js";
import { Transcriber } from "./readers/transcriber.js";
import { Source } from "./source.js";
import { characters } from "./text.js";
import * as upload from "./upload.js";
import * as view from "./view.js";

const { $ } = view;
const WHAT = { columns: "landmarks", frames: "landmarks", keypoints: "keypoints", image: "pictures of a hand" };

export class Page {
  /**
   * @param {import("./model.js").Model} model
   * @param {import("./tracker.js").Tracker} tracker
   */
  constructor(model, tracker) {
    this.model = model;
    /** @type {import("./view.js").Shown} */
    this.shown = { done: [], characters: [], settled: 0, note: "" };
    const Kind = model.spells ? Transcriber : model.isImage ? Letters : Signs;
    this.reader = new Kind(
      model,
      (shown) => this.show(shown),
      (text, whole) => this.said(text, whole),
      () => this.threshold,
    );
    this.source = new Source(model, tracker, this.reader);
    /** @type {Practice | null} */
    this.practice = null;
    this.describe();
  }

  get threshold() {
    return Number($("threshold").value) / 100;
  }

  describe() {
    const { task, step, input, answers } = this.model.about;
    const what = task === "transcription" ? "reads text" : `tells ${answers.length} signs apart`;
    $("model").textContent = `A model that ${what} from ${WHAT[input.kind]}, trained for ${step} steps`;
    const empty = { transcription: "Text grows here as you spell.", classification: "Words grow here as you sign." };
    $("text").dataset.empty = this.model.isImage ? "Letters grow here as you hold them." : empty[task];
  }

  /** @param {import("./view.js").Shown} shown */
  show(shown) {
    this.shown = shown;
    view.text(shown, this.threshold);
    if (!this.source?.paused) view.note($("card").hidden ? shown.note : "");
  }

  /** All of the text, as it is copied. */
  get text() {
    return view.plain(view.items(this.shown), this.shown.words);
  }

  /** @param {import("./text.js").Character[]} read @param {boolean} whole */
  said(read, whole) {
    const text = view.plain(read);
    if (whole) view.read(text);
    const { practice } = this;
    if (!practice) return;
    if (practice.done) {
      if (whole) this.next(); // The rest of a clip that had its word already.
      return;
    }
    view.practice(practice, practice.begun(text));
    const verdict = practice.check(text, whole);
    if (!verdict) return;
    view.practice(practice, practice.begun(text));
    if (!verdict.right) return view.verdict(`Read “${text}”. Once more?`, false);
    view.verdict("Right!", true);
    // A clip that goes on ends first.
    if (whole || this.model.isImage) setTimeout(() => practice.done && this.next(), 1500);
  }

  next() {
    if (!this.practice) return;
    this.practice.next();
    if (this.model.isImage) this.reader.clear();
    view.verdict("", null);
    view.practice(this.practice, 0);
  }

  practise() {
    const spelled = this.model.spells || this.model.isImage;
    this.practice = this.practice ? null : new Practice(words(this.model.about.answers, spelled));
    const on = this.practice !== null;
    $("practice").hidden = !on;
    $("practise").setAttribute("aria-pressed", String(on));
    $("practise").setAttribute("aria-expanded", String(on));
    $("ask").textContent = spelled ? "Spell" : "Sign";
    if (!this.practice) return;
    this.reader.clear();
    view.verdict("", null);
    view.practice(this.practice, 0);
  }

  async start() {
    view.noProblem();
    $("camera").hidden = true;
    view.note("Starting: the first picture takes a moment");
    await this.source.camera(() => view.problem(problems.camera("ended")));
  }

  pause() {
    this.source.paused = !this.source.paused;
    $("pause").setAttribute("aria-pressed", String(this.source.paused));
    $("pause").textContent = this.source.paused ? "Go on" : "Pause";
    if (this.source.paused) $("video").pause();
    else if ($("video").srcObject) $("video").play();
    this.reader.begin();
    view.note(this.source.paused ? "Paused" : this.shown.note);
  }

  draw() {
    $("canvas").hidden = !$("canvas").hidden;
    $("skeleton").setAttribute("aria-pressed", String(!$("canvas").hidden));
  }

  async copy() {
    await navigator.clipboard.writeText(this.text);
    view.say("Copied");
  }

  clear() {
    this.reader.clear();
    view.files("");
    view.say("Cleared");
  }

  /** @param {File} file */
  async open(file) {
    view.noProblem();
    $("camera").hidden = false;
    if (this.source.paused) this.pause();
    this.reader.clear();
    view.files(file.name);
    if (/\.parquet$/i.test(file.name)) await this.clips(file);
    else if (file.type.startsWith("image/")) await this.picture(file);
    else await this.film(file);
  }

  /** @param {File} file */
  async clips(file) {
    this.source.stop();
    view.note(`Opening ${file.name}`);
    const clips = await upload.clips(file, this.model.about.input);
    for (const [i, { name, rows }] of clips.entries()) {
      view.note(`Reading ${i + 1} of ${clips.length}`);
      const shown = await this.read(rows, "");
      const play = () => {
        this.show(shown);
        this.guard(this.source.play(rows));
      };
      view.result(name, ...this.answer(shown), play);
    }
    view.note(`${clips.length} ${clips.length === 1 ? "clip" : "clips"} read; press one to see it`);
    $("results").dataset.whole = "true";
  }

  /** @param {File} file */
  async film(file) {
    let read = 0;
    /** @type {Float32Array[]} */
    let whole = [];
    await this.source.film(file, async (rows, done) => {
      whole = rows;
      const note = `Reading ${file.name}: ${view.percent(done)}`;
      view.note(note);
      if (rows.length - read < 15) return;
      read = rows.length;
      await this.read(rows, note);
    });
    await this.reader.rest();
    if (this.model.isImage) view.result(file.name, this.text, "");
    else view.result(file.name, ...this.answer(await this.read(whole, "Read")));
    view.note("Read");
    $("results").dataset.whole = "true";
  }

  /** @param {File} file */
  async picture(file) {
    if (!this.model.isImage) throw new problems.Problem(`${file.name} is a picture`, "This model reads movement: open a video.");
    const picture = await upload.picture(file);
    this.source.stop();
    const { width, height } = picture;
    skeleton($("canvas"), null, picture);
    await /** @type {Letters} */ (this.reader).look(picture, { x: 0, y: 0, width, height });
    const [best] = this.shown.guesses ?? [];
    view.result(file.name, best.name, view.percent(best.probability));
    view.note("Read");
    $("results").dataset.whole = "true";
  }

  /**
   * A whole clip at once, shown.
   * @param {Float32Array[]} rows
   * @param {string} note
   */
  async read(rows, note) {
    const outputs = await this.model.clip(rows);
    const text = this.model.spells ? characters(outputs, this.model.about.answers) : [];
    const guesses = this.model.spells ? undefined : this.model.guesses(outputs);
    const shown = { done: text, characters: [], settled: 0, note, guesses };
    this.show(shown);
    return shown;
  }

  /** @param {import("./view.js").Shown} shown @returns {[string, string]} */
  answer({ done, guesses }) {
    if (guesses) return [guesses[0].name, view.percent(guesses[0].probability)];
    const sure = done.reduce((sum, c) => sum + c.confidence, 0) / Math.max(done.length, 1);
    return [view.plain(done), done.length ? view.percent(sure) : "no text"];
  }

  /** Shows what went wrong. @param {Promise<void>} work */
  async guard(work) {
    try {
      await work;
    } catch (error) {
      view.problem(/** @type {Error} */ (error));
    }
  }
}
