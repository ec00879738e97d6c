/** Pictures per second, over the last two seconds. */
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
