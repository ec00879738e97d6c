/** MediaPipe Holistic in its own thread. */

import * as problems from "./problems.js";
import { Remote } from "./remote.js";

export class Tracker {
  constructor() {
    this.remote = new Remote("/web/workers/holistic.js");
    this.ready = this.remote.ask({}).catch((error) => {
      throw problems.packages(error);
    });
    this.ready.catch(() => {}); // The caller that awaits it gets the error.
  }

  /**
   * @param {ImageBitmapSource} picture
   * @param {number} time in milliseconds; later than that of the picture before
   * @param {boolean} fresh whether it has nothing to do with the picture before
   * @returns {Promise<import("./columns.js").Landmarks>}
   */
  async track(picture, time, fresh = false) {
    const image = await createImageBitmap(picture);
    return this.remote.ask({ image, time, fresh }, [image]);
  }
}

/** Frames per second, over the last two seconds. */
export class Rate {
  constructor() {
    /** @type {number[]} */
    this.times = [];
  }

  /** @param {number} time in seconds */
  tick(time) {
    this.times = [...this.times.filter((t) => time - t < 2), time];
    return this.times.length < 2 ? 0 : (this.times.length - 1) / (time - this.times[0]);
  }
}
