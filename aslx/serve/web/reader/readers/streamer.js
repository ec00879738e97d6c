/** A stream of frames -> text, by a model with a state: characters are final as they come. */

import { FixedRate } from "../rate.js";
import { raised } from "../segments.js";
import { Phrases, Stream } from "../stream.js";
import { SPACE } from "../text.js";

/** Seconds without a frame after which the stream begins anew: the page was hidden. */
const BREAK = 2;

export class Streamer {
  /**
   * @param {import("../model.js").Model} model
   * @param {import("../index.js").Heard} heard
   */
  constructor(model, heard) {
    this.model = model;
    this.heard = heard;
    this.about = /** @type {import("../stream.js").About} */ (model.about.stream);
    this.phrases = new Phrases();
    this.stream = new Stream(model, this.about);
    this.rate = new FixedRate(this.about.rate);
    this.clear();
  }

  /** Forgets everything. */
  clear() {
    this.phrases = new Phrases();
    this.begin();
    this.tell("Raise a hand and spell");
  }

  /** Forgets what is being read. */
  drop() {
    this.begin();
  }

  /** Ends the phrase that grows, and begins a stream. */
  begin() {
    this.stream.end().catch(() => {}); // What fails here is told by the next step.
    this.stream = new Stream(this.model, this.about);
    this.rate = new FixedRate(this.about.rate);
    this.phrases.end();
  }

  /**
   * @param {import("../columns.js").Landmarks} landmarks
   * @param {number} time in seconds
   */
  async frame(landmarks, time) {
    if (this.rate.given && time - this.rate.at > BREAK) this.begin();
    const up = raised(landmarks);
    // A hand that rests spells nothing.
    const seen = up ? landmarks : { ...landmarks, left_hand: null, right_hand: null };
    const row = /** @type {Function} */ (this.model.row)(seen);
    const { stream } = this;
    for (const due of this.rate.add(time, row)) {
      const read = await stream.add(due);
      if (stream !== this.stream) return;
      if (read) this.take(read);
    }
    this.tell(up ? "Reading" : "Raise a hand and spell");
  }

  /** @param {import("../stream.js").Read} read */
  take(read) {
    const { done, growing } = this.phrases;
    if (done.length && !growing.length && read.characters.length) this.heard.stays(SPACE);
    const ended = this.phrases.add(read);
    read.characters.forEach(this.heard.stays);
    if (ended || read.characters.length) this.heard.said([...growing], ended);
  }

  async rest() {}

  /** @param {string} note */
  tell(note) {
    const { all } = this.phrases;
    this.heard.show({ done: all, characters: [], settled: 0, note });
  }
}
