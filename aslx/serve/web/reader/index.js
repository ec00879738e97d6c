/** Reads sign language in a page: `open` a served model, `start` it on a video, hear its events. */

import * as camera from "./camera.js";
import * as models from "./model.js";
import * as problems from "./problems.js";
import { Letters } from "./readers/letters.js";
import { Signs } from "./readers/signs.js";
import { Streamer } from "./readers/streamer.js";
import { Transcriber } from "./readers/transcriber.js";
import { Tracker } from "./tracker.js";
import { text } from "./text.js";

export { Problem } from "./problems.js";

/**
 * @typedef {import("./text.js").Character} Character a character of a text, or a word of a model of signs
 * @typedef {import("./columns.js").Landmarks} Landmarks
 * @typedef {{name: string, probability: number}} Guess
 *
 * @typedef {object} Shown What is read so far.
 * @property {Character[]} done what stays
 * @property {Character[]} characters what is being read, and may change
 * @property {number} settled so many of `characters`, from the first on, have settled
 * @property {string} note what goes on, in words
 * @property {Guess[]} [guesses] of a classifier, the likeliest first
 * @property {boolean} [words] whether each item is a word
 *
 * @typedef {object} Hands What was found in a picture.
 * @property {Float32Array | null} left 21 points of the person's left hand: x and y in parts of the
 *   picture's width and height, and depth; null if there is no hand
 * @property {Float32Array | null} right
 * @property {Landmarks} landmarks all that was found
 * @property {ImageBitmap} picture until the listeners return
 *
 * @typedef {object} Options
 * @property {string} [packages] the folder of `@litertjs/core` and `@mediapipe/holistic`, with the
 *   files that npm installs; by default the folder that this package is installed in
 * @property {number} [threshold] the probability from which a classifier's answer is taken, 0.5
 *
 * @typedef {object} Events
 * @property {CustomEvent<Shown & {text: string}>} text all that is read so far, after each picture
 *   that was read
 * @property {CustomEvent<Character>} character one more that stays
 * @property {CustomEvent<{text: string, characters: Character[], ended: boolean}>} phrase what has
 *   settled of the phrase that is being signed; ended: all of it
 * @property {CustomEvent<Hands>} hands after each picture
 * @property {CustomEvent<Error>} error why it has stopped; a Problem says in `help` what to do
 */

/**
 * @typedef {object} Heard What hears a kind of reader.
 * @property {(shown: Shown) => void} show
 * @property {(characters: Character[], ended: boolean) => void} said of an Events["phrase"]
 * @property {(character: Character) => void} stays
 * @property {() => number} threshold
 *
 * @typedef {object} Typed an EventTarget whose events have types
 * @property {<K extends keyof Events>(type: K, hear: (event: Events[K]) => void, options?: AddEventListenerOptions | boolean) => void} addEventListener
 * @property {<K extends keyof Events>(type: K, hear: (event: Events[K]) => void, options?: EventListenerOptions | boolean) => void} removeEventListener
 * @property {(event: Event) => boolean} dispatchEvent
 */
const Target = /** @type {{ new (): Typed }} */ (/** @type {unknown} */ (EventTarget));

/** Attempts to get a missing picture, a twentieth of a second apart. */
const PATIENCE = 40;

/** @param {string} url @returns {string} with a slash at its end */
const folder = (url) => new URL(url.replace(/\/?$/, "/"), document.baseURI).href;

/**
 * Opens a model. Its files and packages load meanwhile: `ready` waits for them, and so does `start`.
 * @param {string} [model] the folder of model.json and the files that it names
 * @param {Options} [options]
 * @returns {Promise<Reader>}
 * @throws {Problem} if there is no model, or no WebAssembly
 */
export async function open(model = "model", { packages = new URL("../..", import.meta.url).href, threshold = 0.5 } = {}) {
  const from = folder(packages);
  return new Reader(await models.open(folder(model), from), new Tracker(from), threshold);
}

/** An opened model with its tracker, which reads one video at a time. `open` makes it. */
export class Reader extends Target {
  /**
   * @param {models.Model} model
   * @param {Tracker} tracker
   * @param {number} threshold
   */
  constructor(model, tracker, threshold) {
    super();
    this.model = model;
    this.tracker = tracker;
    /** The probability from which a classifier's answer is taken. */
    this.threshold = threshold;
    this.paused = false;
    /** The work on a video, which ends when the next begins. */
    this.turn = new AbortController();
    const Spelled = model.about.stream ? Streamer : Transcriber;
    const Kind = model.spells ? Spelled : model.isImage ? Letters : Signs;
    this.kind = new Kind(model, {
      show: (shown) => this.tell("text", { ...shown, text: text(shown) }),
      said: (characters, ended) => this.tell("phrase", { text: text({ done: characters }), characters, ended }),
      stays: (character) => this.tell("character", character),
      threshold: () => this.threshold,
    });
    /** @type {Promise<void>} rejects with a Problem where a file is missing */
    this.ready = Promise.all([model.ready, tracker.ready]).then(() => undefined);
    this.ready.catch(() => {}); // The caller that awaits it gets the error.
  }

  /** @param {keyof Events} type @param {unknown} detail */
  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /**
   * Reads a video, until `stop` or the next `start`. A video that shows nothing gets the camera.
   * @param {HTMLVideoElement} video
   * @returns {Promise<void>} as soon as it reads
   * @throws {Problem} if there is no camera, or a file is missing
   */
  async start(video) {
    this.stop();
    const { signal } = this.turn;
    try {
      if (!video.srcObject && !video.src && !video.currentSrc) await this.film(signal, video);
      await this.ready;
    } catch (error) {
      if (signal.aborted) return;
      this.stop();
      throw error;
    }
    video.addEventListener("ended", () => this.kind.rest(), { signal });
    this.read(signal, video).catch((error) => this.fail(signal, error));
  }

  /** Ends the reading at once, and switches off the camera that `start` has opened. */
  stop() {
    this.turn.abort();
    this.turn = new AbortController();
    this.kind.drop();
  }

  /** Reads nothing until `resume`. */
  pause() {
    this.paused = true;
    this.kind.begin();
  }

  resume() {
    this.paused = false;
    this.kind.begin();
  }

  /** Forgets all that was read. */
  clear() {
    this.kind.clear();
  }

  /** Stops, and ends the threads: nothing can be read any more. */
  close() {
    this.stop();
    for (const { remote } of [this.model, this.tracker]) remote.worker.terminate();
  }

  /** @param {AbortSignal} signal @param {Error} error */
  fail(signal, error) {
    if (signal.aborted) return;
    this.stop();
    this.tell("error", error);
  }

  /** Shows the camera in `video`, until the signal. @param {AbortSignal} signal @param {HTMLVideoElement} video */
  async film(signal, video) {
    const stream = await camera.open();
    if (signal.aborted) return camera.stop(stream);
    signal.addEventListener("abort", () => camera.close(video, stream));
    await camera.show(video, stream, () => this.fail(signal, problems.camera("ended")));
  }

  /** @param {AbortSignal} signal @param {HTMLVideoElement} video */
  async read(signal, video) {
    let [reading, fresh] = [Promise.resolve(), true];
    while (!signal.aborted) {
      await this.next(video);
      if (this.paused || signal.aborted) continue;
      const time = performance.now() / 1000;
      const [found, picture] = await this.track(video, time, fresh);
      fresh = false;
      // The next picture is tracked while the model reads this one.
      await reading;
      if (signal.aborted || this.paused) {
        picture.close();
        continue;
      }
      reading = this.kind.frame(found, time, picture).finally(() => picture.close());
      reading.catch(() => {}); // It is awaited above.
      this.tell("hands", { left: found.left_hand, right: found.right_hand, landmarks: found, picture });
    }
  }

  /** Waits for a new picture. @param {HTMLVideoElement} video */
  next(video) {
    return new Promise((resolve) => {
      if (this.paused) setTimeout(resolve, 100);
      else video.requestVideoFrameCallback(resolve);
    });
  }

  /**
   * The landmarks of the picture that a video shows, and the picture.
   * @param {HTMLVideoElement} video
   * @param {number} time in seconds; later than that of the picture before
   * @param {boolean} fresh whether it has nothing to do with the picture before
   * @returns {Promise<[Landmarks, ImageBitmap]>}
   */
  async track(video, time, fresh) {
    const picture = await look(video);
    return [await this.tracker.track(picture, time * 1000, fresh), picture];
  }
}

/** The picture that a video shows. A busy browser may announce it before it has it. @param {HTMLVideoElement} video */
async function look(video) {
  for (let tries = 0; ; tries++) {
    try {
      return await createImageBitmap(video);
    } catch (error) {
      if (tries === PATIENCE || !(video.srcObject || video.currentSrc)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
