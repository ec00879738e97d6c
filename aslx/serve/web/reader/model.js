/** The exported model: its description in model.json, and its answers. */

import { padded, rows, thinned } from "./columns.js";
import * as problems from "./problems.js";
import { FixedRate } from "./rate.js";
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

/**
 * @param {string} folder the address of model.json and the files that it names, with a slash at its end
 * @param {string} packages the address of the folder of @litertjs/core, with a slash at its end
 * @returns {Promise<Model>}
 */
export async function open(folder, packages) {
  if (typeof WebAssembly !== "object") throw problems.noWebAssembly();
  const file = await fetch(`${folder}model.json`);
  if (!file.ok) throw problems.noModel(`model.json: ${file.status} ${file.statusText}`);
  const about = /** @type {About} */ (await file.json());
  if (!about.web?.length && !about.stream) throw problems.noModel("model.json names no file for this page");
  return new Model(about, folder, packages);
}

export class Model {
  /**
   * @param {About} about
   * @param {string} folder
   * @param {string} packages
   */
  constructor(about, folder, packages) {
    this.about = about;
    this.folder = folder;
    this.isImage = about.input.kind === "image";
    this.spells = about.task === "transcription";
    /** Frames of the longest clip that is not thinned. */
    this.longest = about.web.at(-1)?.frames ?? 1;
    this.row = this.isImage ? null : rows(about.input);
    this.remote = new Remote(new Worker(new URL("./dist/model.js", import.meta.url)));
    const first = folder + (about.stream ?? about.web[0]).file;
    this.ready = this.remote.ask({ url: first, wasm: `${packages}@litertjs/core/wasm/` }).catch((error) => {
      throw /tflite/.test(String(error)) ? problems.noModel(error.message) : problems.packages(error, packages);
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
    const question = { url: this.folder + file, inputs, shape: [frames, ...values], frames: kept.length };
    return this.remote.ask(question, [inputs.buffer]);
  }

  /**
   * What a model with a state reads in a clip, as if its rows came one by one.
   * @param {Float32Array[]} clip
   * @param {number} [rate] rows a second; by default those that the model reads
   */
  async streamed(clip, rate) {
    const about = /** @type {import("./stream.js").About} */ (this.about.stream);
    const phrases = new Phrases();
    const stream = new Stream(this, about);
    const fixed = new FixedRate(about.rate);
    for (const [i, given] of clip.entries()) {
      for (const row of rate ? fixed.add(i / rate, given) : [given]) {
        const read = await stream.add(row);
        if (read) phrases.add(read);
      }
    }
    phrases.add(await stream.end());
    return phrases.all;
  }

  /**
   * The most likely classes, the likeliest first.
   * @param {Float32Array} probabilities
   * @param {number} [most]
   * @returns {import("./index.js").Guess[]}
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
    const question = { url: this.folder + this.about.web[0].file, inputs, shape };
    return this.remote.ask(question, [inputs.buffer]);
  }
}
