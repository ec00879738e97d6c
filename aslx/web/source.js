/** Where frames come from: the camera, or a file; one at a time. */

import * as camera from "./camera.js";
import { landmarks } from "./columns.js";
import { skeleton } from "./draw.js";
import { Rate } from "./tracker.js";
import { RATE } from "./time.js";
import * as upload from "./upload.js";
import * as view from "./view.js";

/**
 * @typedef {object} Reader
 * @property {(landmarks: import("./columns.js").Landmarks, time: number, picture: ImageBitmap) => Promise<void>} frame
 * @property {() => Promise<void>} rest
 * @property {() => void} begin
 * @property {() => void} clear
 */

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
    this.turn = 0;
  }

  /** Ends what runs; a loop goes on only while its turn is the last one. */
  stop() {
    camera.close(this.video);
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    view.$("picture").classList.remove("mirror");
    this.reader.begin();
    this.show(null);
    return ++this.turn;
  }

  /** The camera, until something else begins. @param {() => void} ended */
  async camera(ended) {
    const turn = this.stop();
    await camera.open(this.video, ended);
    view.$("picture").classList.add("mirror");
    const rate = new Rate();
    let [reading, fresh] = [Promise.resolve(), true];
    while (turn === this.turn) {
      await this.ready();
      if (this.paused) continue;
      const time = performance.now() / 1000;
      const [found, picture] = await this.track(time, fresh);
      fresh = false;
      // The next picture is tracked while the model reads this one.
      await reading;
      if (turn !== this.turn || this.paused) continue;
      reading = this.reader.frame(found, time, picture).finally(() => picture.close());
      this.show(found, picture);
      view.rate(rate.tick(performance.now() / 1000));
    }
  }

  /** Waits for a frame that was not there before. */
  ready() {
    return new Promise((resolve) => {
      if (this.paused || !this.video.srcObject) setTimeout(resolve, 100);
      else this.video.requestVideoFrameCallback(resolve);
    });
  }

  /**
   * A film as one clip, as aslx.predict reads it.
   * @param {File} file
   * @param {(rows: Float32Array[], done: number) => Promise<void>} read
   */
  async film(file, read) {
    const turn = this.stop();
    await upload.film(file, this.video);
    /** @type {Float32Array[]} */
    const rows = [];
    for await (const { time, done } of upload.frames(this.video)) {
      const [found, picture] = await this.track(time, rows.length === 0);
      while (this.paused && turn === this.turn) await this.ready();
      if (turn !== this.turn) return;
      this.show(found, picture);
      rows.push(this.model.row?.(found) ?? new Float32Array());
      if (this.model.isImage) await this.reader.frame(found, time, picture);
      else await read(rows, done);
      picture.close();
    }
  }

  /** Shows a clip of landmarks, as fast as it was signed. @param {Float32Array[]} rows */
  async play(rows) {
    const turn = this.stop();
    const unpack = landmarks(this.model.about.input);
    for (const row of rows) {
      if (turn !== this.turn) return;
      this.show(unpack(row));
      await new Promise((resolve) => setTimeout(resolve, 1000 / RATE));
    }
  }

  /**
   * @param {number} time in seconds
   * @param {boolean} fresh
   * @returns {Promise<[import("./columns.js").Landmarks, ImageBitmap]>}
   */
  async track(time, fresh) {
    const picture = await createImageBitmap(this.video);
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
