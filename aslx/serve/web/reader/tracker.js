/** MediaPipe Holistic in its own thread. */

import * as problems from "./problems.js";
import { Remote } from "./remote.js";

export class Tracker {
  /** @param {string} packages the address of the folder of @mediapipe/holistic, with a slash at its end */
  constructor(packages) {
    this.remote = new Remote(new Worker(new URL("./workers/holistic.js", import.meta.url)));
    this.ready = this.remote.ask({ holistic: `${packages}@mediapipe/holistic/` }).catch((error) => {
      throw problems.packages(error, packages);
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
