/** A stream of rows, read by a model with a state: the work of a row does not grow with the stream. */

import { padded } from "./columns.js";
import { SPACE, characters } from "./text.js";

/**
 * @typedef {object} About what model.json says of it
 * @property {string} file
 * @property {number} rate rows a second
 * @property {number} chunk rows of a step
 * @property {number[]} rests rows without a hand, and without a character, that end a phrase
 *
 * @typedef {{characters: import("./text.js").Character[], ended: boolean}} Read what a step has
 *   read, which is final, and whether it ends a phrase
 */

let streams = 0;

/** The worker of the model keeps the state, until the end. */
export class Stream {
  /** @param {import("./model.js").Model} model @param {About} about */
  constructor(model, about) {
    this.model = model;
    this.about = about;
    this.question = { url: model.folder + about.file, stream: ++streams };
    /** @type {Float32Array[]} */
    this.waiting = [];
    this.begun = false;
  }

  /** The next row; what is read with it, if it is the last of a step. @param {Float32Array} row @returns {Promise<Read | null>} */
  async add(row) {
    this.waiting.push(row);
    return this.waiting.length < this.about.chunk ? null : this.step();
  }

  /** What is read with the end of the stream. @returns {Promise<Read>} */
  async end() {
    const last = this.waiting.length ? await this.step() : { characters: [], ended: false };
    if (this.begun) await this.model.remote.ask({ ...this.question, end: true });
    return last;
  }

  /** @returns {Promise<Read>} */
  async step() {
    const { chunk, rests } = this.about;
    const frames = this.waiting.length;
    const values = this.waiting[0].length;
    const inputs = padded(this.waiting, chunk, values);
    this.waiting = [];
    this.begun = true;
    const question = { ...this.question, inputs, shape: [chunk, values], frames, rests };
    const { outputs, ended } = await this.model.remote.ask(question, [inputs.buffer]);
    return { characters: characters(outputs, this.model.about.answers), ended };
  }
}

/** Phrases as they are read; a space stands between two. */
export class Phrases {
  constructor() {
    /** @type {import("./text.js").Character[]} */
    this.done = [];
    /** @type {import("./text.js").Character[]} */
    this.growing = [];
  }

  /** @param {Read} read @returns {boolean} whether a phrase has ended */
  add(read) {
    this.growing.push(...read.characters);
    return read.ended && this.end();
  }

  /** Ends the phrase that grows, if there is one. */
  end() {
    if (!this.growing.length) return false;
    this.done = this.all;
    this.growing = [];
    return true;
  }

  /** All characters. @returns {import("./text.js").Character[]} */
  get all() {
    const between = this.done.length && this.growing.length ? [SPACE] : [];
    return [...this.done, ...between, ...this.growing];
  }
}
