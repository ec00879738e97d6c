/** A stream of frames -> words, by a model that classifies clips. */

import { Majority, WINDOW, said } from "../majority.js";
import { argmax } from "../text.js";
import { Clock } from "../time.js";

export class Signs {
  /**
   * @param {import("../model.js").Model} model
   * @param {import("../index.js").Heard} heard
   */
  constructor(model, heard) {
    this.model = model;
    this.heard = heard;
    this.clock = new Clock();
    this.majority = new Majority();
    this.clear();
  }

  clear() {
    /** @type {import("../text.js").Character[]} */
    this.words = [];
    this.begin();
    this.tell([], "Sign a word");
  }

  drop() {
    this.begin();
  }

  begin() {
    /** @type {Float32Array[]} */
    this.window = [];
    this.clock.reset();
    this.majority.clear();
  }

  /**
   * @param {import("../columns.js").Landmarks} landmarks
   * @param {number} time in seconds
   */
  async frame(landmarks, time) {
    const row = /** @type {Function} */ (this.model.row)(landmarks);
    const more = new Array(this.clock.rows(time)).fill(row);
    this.window = [...this.window, ...more].slice(-WINDOW);
    if (this.window.length < WINDOW) {
      this.tell([], `Watching: ${this.window.length} of ${WINDOW} frames`);
      return;
    }
    const { window } = this;
    const probabilities = await this.model.clip(window);
    if (this.window !== window) return; // Cleared in the meantime.
    const answer = argmax(probabilities);
    const word = { text: this.model.about.answers[answer], confidence: probabilities[answer] };
    if (this.majority.push(answer, word.confidence, this.heard.threshold())) {
      const before = this.words;
      this.words = said(before, word);
      if (this.words !== before) {
        this.heard.stays(word);
        this.heard.said([word], true);
      }
    }
    this.tell(this.model.guesses(probabilities), "Watching");
  }

  async rest() {}

  /**
   * @param {import("../index.js").Guess[]} guesses
   * @param {string} note
   */
  tell(guesses, note) {
    this.heard.show({ done: this.words, characters: [], settled: 0, note, guesses, words: true });
  }
}
