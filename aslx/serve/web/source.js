/** The source of frames: the camera or a file, one at a time. */

import { skeleton } from "./draw.js";
import { Rate } from "./rate.js";
import { landmarks } from "./reader/columns.js";
import { RATE } from "./reader/time.js";
import * as upload from "./upload.js";
import * as view from "./view.js";

/** Work on one source of frames, which ends when the next begins. */
export class Turn {
  over = false;
}

export class Source {
  /** @param {import("./reader/index.js").Reader} reader */
  constructor(reader) {
    this.reader = reader;
    this.video = /** @type {HTMLVideoElement} */ (view.$("video"));
    this.canvas = /** @type {HTMLCanvasElement} */ (view.$("canvas"));
    this.turn = new Turn();
    this.rate = new Rate();
    reader.addEventListener("hands", ({ detail: { landmarks, picture } }) => {
      this.show(landmarks, picture);
      view.rate(this.rate.tick(performance.now() / 1000));
    });
  }

  /** Ends the current turn at once: later results of an ended turn are not shown. */
  stop() {
    this.turn.over = true;
    this.turn = new Turn();
    view.running(false);
    this.reader.stop();
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.video.load(); // Forgets the film.
    view.$("picture").classList.remove("mirror");
    this.show(null);
    return this.turn;
  }

  /** The camera, until something else begins. @param {Turn} turn */
  async camera(turn) {
    this.rate = new Rate();
    await this.reader.start(this.video);
    if (turn.over) return;
    view.running(true);
    view.$("picture").classList.add("mirror");
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
    const { model, kind } = this.reader;
    /** @type {Float32Array[]} */
    const rows = [];
    /** @type {number[]} */
    const shown = [];
    for await (const { time, done } of upload.frames(this.video)) {
      const [found, picture] = await this.reader.track(this.video, time, rows.length === 0);
      shown.push(upload.moment(this.video));
      while (this.reader.paused && !turn.over) await new Promise((resolve) => setTimeout(resolve, 100));
      if (turn.over) {
        picture.close();
        return false;
      }
      this.show(found, picture);
      rows.push(model.row?.(found) ?? new Float32Array());
      if (model.isImage) await kind.frame(found, time, picture);
      else await read(rows, done);
      picture.close();
      if (turn.over) return false;
    }
    view.running(false);
    return upload.regular(shown);
  }

  /** Shows a clip of landmarks, as fast as it was signed. @param {Turn} turn @param {Float32Array[]} rows @param {number} [rate] */
  async play(turn, rows, rate = RATE) {
    const unpack = landmarks(this.reader.model.about.input);
    for (const row of rows) {
      if (turn.over) return;
      this.show(unpack(row));
      await new Promise((resolve) => setTimeout(resolve, 1000 / rate));
    }
  }

  /**
   * @param {import("./reader/columns.js").Landmarks | null} found
   * @param {ImageBitmap} [picture]
   */
  show(found, picture) {
    skeleton(this.canvas, found, picture);
    view.hands(found);
    if (!found) view.rate(0);
  }
}
