/** The page: the actions of its buttons, and how it shows a reading. */

import { skeleton } from "./draw.js";
import { Practice, words } from "./practice.js";
import { Problem } from "./reader/index.js";
import { characters, text } from "./reader/text.js";
import { Source } from "./source.js";
import * as upload from "./upload.js";
import * as view from "./view.js";

const { $ } = view;
const WHAT = { columns: "landmarks", frames: "landmarks", keypoints: "keypoints", image: "pictures of a hand" };

/** @type {import("./view.js").Shown} */
const NOTHING = { done: [], characters: [], settled: 0, note: "" };

/**
 * How a film was read, for a comparison with the output of aslx.predict.
 * @param {number} frames
 * @param {boolean} every whether these were all frames of the film
 */
function about(frames, every) {
  const other = "The film has another rate: aslx.predict --fps 30 looks at the same pictures. ";
  return (
    `${frames} pictures, 30 a second. ${every ? "" : other}MediaPipe's build for browsers finds landmarks that ` +
    "differ a little from those of its build for Python, so that aslx.predict may read some letters otherwise."
  );
}

export class Page {
  /** @param {import("./reader/index.js").Reader} reader */
  constructor(reader) {
    this.reader = reader;
    this.model = reader.model;
    /** @type {import("./view.js").Shown} */
    this.shown = NOTHING;
    this.source = new Source(reader);
    reader.addEventListener("text", ({ detail }) => this.show(detail));
    reader.addEventListener("phrase", ({ detail }) => this.said(detail.text, detail.ended));
    reader.addEventListener("error", ({ detail }) => this.fail(this.source.turn, detail));
    /** What was tried last, once more. @type {() => Promise<void>} */
    this.again = () => this.start();
    /** @type {Practice | null} */
    this.practice = null;
    this.describe();
    reader.clear();
    this.threshold();
  }

  /** Takes the slider's value. */
  threshold() {
    this.reader.threshold = Number($("threshold").value) / 100;
    view.text(this.shown, this.reader.threshold);
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
    view.text(shown, this.reader.threshold);
    if (!this.reader.paused) view.note($("card").hidden ? shown.note : "");
  }

  /** The whole text, in the form that is copied. */
  get text() {
    return text(this.shown);
  }

  /** @param {string} text of a phrase @param {boolean} whole */
  said(text, whole) {
    if (whole) view.read(text);
    const { practice } = this;
    if (!practice) return;
    if (practice.done) {
      if (whole) this.next(); // The end of a clip whose word was already right.
      return;
    }
    view.practice(practice, practice.begun(text));
    const verdict = practice.check(text, whole);
    if (!verdict) return;
    view.practice(practice, practice.begun(text));
    if (!verdict.right) return view.verdict(`Read “${text}”. Once more?`, false);
    view.verdict("Right!", true);
    // Ends the clip in progress first.
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

  /**
   * Ends the current work, and begins other work.
   * @param {(turn: import("./source.js").Turn) => Promise<void>} work
   */
  async begin(work) {
    const turn = this.source.stop();
    if (this.reader.paused) this.pause();
    this.again = () => this.begin(work);
    view.noProblem();
    try {
      await work(turn);
    } catch (error) {
      this.fail(turn, /** @type {Error} */ (error));
    }
  }

  /** @param {import("./source.js").Turn} turn @param {Error} error */
  fail(turn, error) {
    if (turn.over) return;
    this.source.stop();
    view.problem(error);
  }

  start() {
    return this.begin(async (turn) => {
      $("camera").hidden = true;
      view.note("Starting: the first picture takes a moment");
      this.filmed = true;
      await this.source.camera(turn);
    });
  }

  pause() {
    const { reader } = this;
    if (reader.paused) reader.resume();
    else reader.pause();
    $("pause").setAttribute("aria-pressed", String(reader.paused));
    $("pause").textContent = reader.paused ? "Go on" : "Pause";
    if (reader.paused) $("video").pause();
    else if ($("video").srcObject) $("video").play();
    view.note(reader.paused ? "Paused" : this.shown.note);
  }

  draw() {
    $("canvas").hidden = !$("canvas").hidden;
    $("skeleton").setAttribute("aria-pressed", String(!$("canvas").hidden));
  }

  async copy() {
    if (!this.text) return view.say("Nothing to copy yet");
    try {
      await navigator.clipboard.writeText(this.text);
      view.say("Copied");
    } catch {
      view.say("This browser does not let the page copy");
    }
  }

  clear() {
    this.reader.clear();
    view.files("");
    view.say("Cleared");
  }

  /** @param {File} file */
  open(file) {
    return this.begin(async (turn) => {
      $("camera").hidden = !this.filmed;
      this.reader.clear();
      view.files(file.name);
      await this[upload.kind(file)](turn, file);
    });
  }

  /** @param {import("./source.js").Turn} turn @param {File} file */
  async clips(turn, file) {
    view.note(`Opening ${file.name}`);
    const clips = await upload.clips(file, this.model.about.input);
    for (const [i, { name, rows, rate, mended, empty }] of clips.entries()) {
      if (turn.over) return;
      view.note(`Reading ${i + 1} of ${clips.length}`);
      const shown = empty ? { ...NOTHING, note: empty } : await this.read(turn, rows, "", rate);
      const play = () => {
        const turn = this.source.stop();
        this.show(shown);
        this.source.play(turn, rows, rate);
      };
      if (turn.over) return;
      if (empty) view.result(name, "", empty, play);
      else view.result(name, ...this.answer(shown), play);
      view.about(mended?.length ? `It had ${mended.join("; and ")}.` : "");
    }
    if (turn.over) return;
    view.note(`${clips.length} ${clips.length === 1 ? "clip" : "clips"} read; press one to see it`);
    $("results").dataset.whole = "true";
  }

  /** @param {import("./source.js").Turn} turn @param {File} file */
  async film(turn, file) {
    let read = 0;
    /** @type {Float32Array[]} */
    let whole = [];
    const every = await this.source.film(turn, file, async (rows, done) => {
      whole = rows;
      const note = `Reading ${file.name}: ${view.percent(done)}`;
      view.note(note);
      // A model of whole clips reads again what grew; one with a state reads once, at the end.
      if (rows.length - read < 15 || this.model.about.stream) return;
      read = rows.length;
      await this.read(turn, rows, note);
    });
    if (turn.over) return;
    await this.reader.kind.rest();
    const shown = this.model.isImage ? null : await this.read(turn, whole, "Read");
    if (turn.over) return;
    if (shown) view.result(file.name, ...this.answer(shown));
    else view.result(file.name, this.text, "");
    view.about(about(whole.length, every));
    view.note("Read");
    $("results").dataset.whole = "true";
  }

  /** @param {import("./source.js").Turn} turn @param {File} file */
  async picture(turn, file) {
    if (!this.model.isImage) {
      throw new Problem(`${file.name} is a picture`, "This model reads movement: open a video.");
    }
    const picture = await upload.picture(file);
    if (turn.over) return;
    const { width, height } = picture;
    skeleton($("canvas"), null, picture);
    await /** @type {import("./reader/readers/letters.js").Letters} */ (this.reader.kind).look(picture, { x: 0, y: 0, width, height });
    if (turn.over) return;
    const [best] = this.shown.guesses ?? [];
    view.result(file.name, best.name, view.percent(best.probability));
    view.note("Read");
    $("results").dataset.whole = "true";
  }

  /**
   * Reads a whole clip, and shows the result unless its turn has ended.
   * @param {import("./source.js").Turn} turn
   * @param {Float32Array[]} rows
   * @param {string} note
   * @param {number} [rate] rows a second, where they tell
   */
  async read(turn, rows, note, rate) {
    const { about, spells } = this.model;
    const outputs = about.stream ? new Float32Array() : await this.model.clip(rows);
    const read = about.stream ? await this.model.streamed(rows, rate) : spells ? characters(outputs, about.answers) : [];
    const guesses = spells ? undefined : this.model.guesses(outputs);
    const shown = { done: read, characters: [], settled: 0, note, guesses };
    if (!turn.over) this.show(shown);
    return shown;
  }

  /** @param {import("./view.js").Shown} shown @returns {[string, string]} */
  answer(shown) {
    const { done, guesses } = shown;
    if (guesses) return [guesses[0].name, view.percent(guesses[0].probability)];
    const sure = done.reduce((sum, c) => sum + c.confidence, 0) / Math.max(done.length, 1);
    return [text(shown), done.length ? view.percent(sure) : "no text"];
  }
}
