/** A stream of frames -> text, by a model that reads fingerspelling. */

import { Segments, raised } from "../segments.js";
import { SPACE, characters, settled } from "../text.js";
import { Clock } from "../time.js";

/** Seconds between two readings of a growing clip. */
const EVERY = 0.25;

/** @typedef {import("../text.js").Character} Character */

export class Transcriber {
  /**
   * @param {import("../model.js").Model} model
   * @param {import("../index.js").Heard} heard
   */
  constructor(model, heard) {
    this.model = model;
    this.heard = heard;
    this.clock = new Clock();
    /** @type {Segments<Float32Array>} */
    this.segments = new Segments(model.longest);
    this.last = -Infinity;
    /** @type {Character[][]} */
    this.readings = [];
    this.clear();
  }

  /** Forgets everything. */
  clear() {
    /** @type {Character[]} */
    this.done = [];
    this.drop();
    this.heard.show({ done: [], characters: [], settled: 0, note: "Raise a hand and spell" });
  }

  /** Forgets the growing clip, and the pending readings of clips that have ended. */
  drop() {
    this.life = Symbol();
    this.begin();
  }

  /** Forgets the growing clip. */
  begin() {
    this.segments.reset();
    this.clock.reset();
    this.readings = [];
    this.reading = false;
    this.last = -Infinity;
  }

  /**
   * @param {import("../columns.js").Landmarks} landmarks
   * @param {number} time in seconds
   */
  async frame(landmarks, time) {
    const row = /** @type {Function} */ (this.model.row)(landmarks);
    for (let n = this.clock.rows(time); n > 0; n--) {
      const { ended } = this.segments.push(row, raised(landmarks), time);
      const { life } = this;
      if (ended) await this.end(ended);
      if (life !== this.life) return;
    }
    const { clip } = this.segments;
    if (clip.length && !this.reading && time - this.last >= EVERY) {
      this.last = time;
      await this.grow([...clip]);
    }
    if (!clip.length) this.tell([], 0, "Raise a hand and spell");
  }

  /** @param {Float32Array[]} clip */
  async grow(clip) {
    this.reading = true;
    const before = this.readings;
    const read = characters(await this.model.clip(clip), this.model.about.answers);
    if (before !== this.readings) return; // It ended in the meantime.
    this.reading = false;
    this.readings.push(read);
    this.tell(read, settled(this.readings), "Reading");
    this.heard.said(read.slice(0, settled(this.readings)), false);
  }

  /** @param {Float32Array[]} clip */
  async end(clip) {
    this.readings = [];
    this.reading = false;
    const { life } = this;
    const read = characters(await this.model.clip(clip), this.model.about.answers);
    if (!read.length || life !== this.life) return;
    const more = this.done.length ? [SPACE, ...read] : read;
    this.done.push(...more);
    this.tell([], 0, "Raise a hand and spell");
    more.forEach(this.heard.stays);
    this.heard.said(read, true);
  }

  /** Ends the growing clip at the end of a film. */
  async rest() {
    const clip = this.segments.close();
    if (clip) await this.end(clip);
  }

  /**
   * @param {Character[]} characters
   * @param {number} settled
   * @param {string} note
   */
  tell(characters, settled, note) {
    this.heard.show({ done: this.done, characters, settled, note });
  }
}
