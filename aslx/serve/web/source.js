/** The source of frames: the camera or a file, one at a time. */

import * as camera from "./camera.js";
import { landmarks } from "./columns.js";
import { skeleton } from "./draw.js";
import { Rate } from "./tracker.js";
import { RATE } from "./time.js";
import * as upload from "./upload.js";
import * as view from "./view.js";

/** Attempts to get a missing picture, a twentieth of a second apart. */
const PATIENCE = 40;

/**
 * @typedef {object} Reader
 * @property {(landmarks: import("./columns.js").Landmarks, time: number, picture: ImageBitmap) => Promise<void>} frame
 * @property {() => Promise<void>} rest
 * @property {() => void} begin
 * @property {() => void} drop forgets the clip that grows, and what is still being read of any
 * @property {() => void} clear
 */

/** Work on one source of frames, which ends when the next begins. */
export class Turn {
  over = false;
}

export class Source {
  /**
   * @param {import("./model.js").Model} model
   * @param {import("./tracker.js").Tracker} tracker
   * @param {Reader} reader
   */
  constructor(model, tracker, reader) {
    this.model = model;
    this.tracker = tracker;
    this.reader = reader;
    this.video = /** @type {HTMLVideoElement} */ (view.$("video"));
    this.canvas = /** @type {HTMLCanvasElement} */ (view.$("canvas"));
    this.paused = false;
    this.turn = new Turn();
  }

  /** Ends the current turn at once: later results of an ended turn are not shown. */
  stop() {
    this.turn.over = true;
    this.turn = new Turn();
    view.running(false);
    camera.close(this.video);
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    view.$("picture").classList.remove("mirror");
    this.reader.drop();
    this.show(null);
    return this.turn;
  }

  /** The camera, until something else begins. @param {Turn} turn @param {() => void} ended */
  async camera(turn, ended) {
    const stream = await camera.open();
    if (turn.over) return camera.stop(stream);
    await camera.show(this.video, stream, ended);
    view.running(true);
    view.$("picture").classList.add("mirror");
    const rate = new Rate();
    let [reading, fresh] = [Promise.resolve(), true];
    while (!turn.over) {
      await this.ready();
      if (this.paused) continue;
      const time = performance.now() / 1000;
      const [found, picture] = await this.track(time, fresh);
      fresh = false;
      // The next picture is tracked while the model reads this one.
      await reading;
      if (turn.over || this.paused) {
        picture.close();
        continue;
      }
      reading = this.reader.frame(found, time, picture).finally(() => picture.close());
      this.show(found, picture);
      view.rate(rate.tick(performance.now() / 1000));
    }
  }

  /** Waits for a new frame. */
  ready() {
    return new Promise((resolve) => {
      if (this.paused || !this.video.srcObject) setTimeout(resolve, 100);
      else this.video.requestVideoFrameCallback(resolve);
    });
  }

  /**
   * Reads a film as one clip. Answers whether all pictures of the film were read.
   * @param {Turn} turn
   * @param {File} file
   * @param {(rows: Float32Array[], done: number) => Promise<void>} read
   * @returns {Promise<boolean>}
   */
  async film(turn, file, read) {
    await upload.film(file, this.video);
    if (turn.over) return false;
    view.running(true);
    /** @type {Float32Array[]} */
    const rows = [];
    /** @type {number[]} */
    const shown = [];
    for await (const { time, done } of upload.frames(this.video)) {
      const [found, picture] = await this.track(time, rows.length === 0);
      shown.push(upload.moment(this.video));
      while (this.paused && !turn.over) await this.ready();
      if (turn.over) {
        picture.close();
        return false;
      }
      this.show(found, picture);
      rows.push(this.model.row?.(found) ?? new Float32Array());
      if (this.model.isImage) await this.reader.frame(found, time, picture);
      else await read(rows, done);
      picture.close();
      if (turn.over) return false;
    }
    view.running(false);
    return upload.regular(shown);
  }

  /** Shows a clip of landmarks, as fast as it was signed. @param {Turn} turn @param {Float32Array[]} rows */
  async play(turn, rows) {
    const unpack = landmarks(this.model.about.input);
    for (const row of rows) {
      if (turn.over) return;
      this.show(unpack(row));
      await new Promise((resolve) => setTimeout(resolve, 1000 / RATE));
    }
  }

  /** The picture that the video shows. A busy browser may announce a picture before it has it. */
  async look() {
    for (let tries = 0; ; tries++) {
      try {
        return await createImageBitmap(this.video);
      } catch (error) {
        if (tries === PATIENCE || !this.video.currentSrc) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /**
   * @param {number} time in seconds
   * @param {boolean} fresh
   * @returns {Promise<[import("./columns.js").Landmarks, ImageBitmap]>}
   */
  async track(time, fresh) {
    const picture = await this.look();
    return [await this.tracker.track(picture, time * 1000, fresh), picture];
  }

  /**
   * @param {import("./columns.js").Landmarks | null} found
   * @param {ImageBitmap} [picture]
   */
  show(found, picture) {
    skeleton(this.canvas, found, picture);
    view.hands(found);
    if (!found) view.rate(0);
  }
}
