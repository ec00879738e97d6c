/** The exported model: its description in model.json, and its answers. */

import { padded, rows, thinned } from "./columns.js";
import * as problems from "./problems.js";
import { Remote } from "./remote.js";
import { Phrases, Stream } from "./stream.js";

/**
 * @typedef {object} About model.json, as aslx.export writes it.
 * @property {number} step
 * @property {"transcription" | "classification"} task
 * @property {import("./columns.js").Input} input
 * @property {string[]} answers
 * @property {number | null} max_frames
 * @property {{frames?: number, file: string}[]} web the shortest first
 * @property {import("./stream.js").About} [stream] of a model with a state
 */

const FOLDER = "/model/";

/** @returns {Promise<Model>} */
export async function open() {
  if (typeof WebAssembly !== "object") throw problems.noWebAssembly();
  const file = await fetch(`${FOLDER}model.json`);
  if (!file.ok) throw problems.noModel(`model.json: ${file.status} ${file.statusText}`);
  const about = /** @type {About} */ (await file.json());
  if (!about.web?.length && !about.stream) throw problems.noModel("model.json names no file for this page");
  return new Model(about);
}

export class Model {
  /** @param {About} about */
  constructor(about) {
    this.about = about;
    this.isImage = about.input.kind === "image";
    this.spells = about.task === "transcription";
    /** Frames of the longest clip that is not thinned. */
    this.longest = about.web.at(-1)?.frames ?? 1;
    this.row = this.isImage ? null : rows(about.input);
    this.remote = new Remote("/web/dist/reader.js");
    const first = FOLDER + (about.stream ?? about.web[0]).file;
    this.ready = this.remote.ask({ url: first }).catch((error) => {
      throw /tflite/.test(String(error)) ? problems.noModel(error.message) : problems.packages(error);
    });
    this.ready.catch(() => {}); // The caller that awaits it gets the error.
  }

  /**
   * The model's answer for a clip; of a transcriber, a row for each character.
   * @param {Float32Array[]} clip rows as `row` makes them
   * @returns {Promise<Float32Array>}
   */
  clip(clip) {
    const kept = thinned(clip, this.longest);
    const { frames = 0, file } = this.pick(kept.length);
    const values = this.about.input.shape.slice(1).map(Number);
    const inputs = padded(kept, frames, values.reduce((a, b) => a * b));
    const question = { url: FOLDER + file, inputs, shape: [frames, ...values], frames: kept.length };
    return this.remote.ask(question, [inputs.buffer]);
  }

  /**
   * What a model with a state reads in a clip, as if its rows came one by one.
   * @param {Float32Array[]} clip
   */
  async streamed(clip) {
    const phrases = new Phrases();
    const stream = new Stream(this, /** @type {import("./stream.js").About} */ (this.about.stream));
    for (const row of clip) {
      const read = await stream.add(row);
      if (read) phrases.add(read);
    }
    phrases.add(await stream.end());
    return phrases.all;
  }

  /**
   * The most likely classes, the likeliest first.
   * @param {Float32Array} probabilities
   * @param {number} [most]
   * @returns {import("./view.js").Guess[]}
   */
  guesses(probabilities, most = 3) {
    return [...probabilities]
      .map((probability, i) => ({ name: this.about.answers[i], probability }))
      .sort((a, b) => b.probability - a.probability)
      .slice(0, most);
  }

  /** The smallest that holds so many frames. @param {number} frames */
  pick(frames) {
    const { web } = this.about;
    return web.find((entry) => (entry.frames ?? 0) >= frames) ?? web[web.length - 1];
  }

  /**
   * @param {Float32Array} inputs pixels of the model's own size, 0 to 255
   * @returns {Promise<Float32Array>}
   */
  image(inputs) {
    const shape = this.about.input.shape.map(Number);
    const question = { url: FOLDER + this.about.web[0].file, inputs, shape };
    return this.remote.ask(question, [inputs.buffer]);
  }
}
