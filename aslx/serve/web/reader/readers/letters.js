/** A stream of pictures -> letters, by a model that classifies pictures of hands. */

import { pixels, square } from "../crop.js";
import { Majority } from "../majority.js";
import { REST } from "../segments.js";
import { argmax } from "../text.js";

/** The most letters that the screen shows. */
const MOST = 200;

export class Letters {
  /**
   * @param {import("../model.js").Model} model
   * @param {import("../index.js").Heard} heard
   */
  constructor(model, heard) {
    this.model = model;
    this.heard = heard;
    this.majority = new Majority();
    this.seen = -Infinity;
    this.clear();
  }

  clear() {
    /** @type {import("../text.js").Character[]} */
    this.text = [];
    this.drop();
    this.tell([], "Show a hand");
  }

  /** Forgets the letter that is held, and the picture that is being read. */
  drop() {
    this.life = Symbol();
    this.begin();
  }

  begin() {
    this.majority.clear();
    this.held = "";
  }

  /**
   * @param {import("../columns.js").Landmarks} landmarks
   * @param {number} time in seconds
   * @param {ImageBitmap} picture
   */
  async frame(landmarks, time, picture) {
    const hand = landmarks.right_hand ?? landmarks.left_hand;
    if (!hand) {
      // A tracker may lose a hand for some frames.
      if (time - this.seen >= REST) this.begin();
      this.tell([], "Show a hand");
      return;
    }
    this.seen = time;
    const { x, y, size } = square(hand, picture.width, picture.height);
    await this.look(picture, { x, y, width: size, height: size });
  }

  /**
   * @param {ImageBitmap} picture
   * @param {{x: number, y: number, width: number, height: number}} box
   */
  async look(picture, box) {
    const shape = this.model.about.input.shape.map(Number);
    const { life } = this;
    const probabilities = await this.model.image(pixels(picture, box, shape));
    if (life !== this.life) return;
    const answer = argmax(probabilities);
    const name = this.model.about.answers[answer];
    const held = this.majority.push(answer, probabilities[answer], this.heard.threshold());
    if (held && name !== this.held) this.write(name, probabilities[answer]);
    this.tell(this.model.guesses(probabilities), "Reading");
  }

  /**
   * Adds a letter that was held; ASL Alphabet also has classes for space, nothing and delete.
   * @param {string} name
   * @param {number} confidence
   */
  write(name, confidence) {
    this.held = name;
    if (name === "nothing") return;
    if (name === "del") this.text = this.text.slice(0, -1);
    else {
      const letter = { text: name === "space" ? " " : name, confidence };
      this.text = [...this.text, letter].slice(-MOST);
      this.heard.stays(letter);
    }
    this.heard.said(this.text, false);
  }

  async rest() {}

  /**
   * @param {import("../index.js").Guess[]} guesses
   * @param {string} note
   */
  tell(guesses, note) {
    this.heard.show({ done: this.text, characters: [], settled: 0, note, guesses });
  }
}
