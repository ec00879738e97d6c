/** Sends questions to a worker, and awaits their answers. */

export class Remote {
  /** @param {Worker} worker that answers {id, ...question} by {id, value} or {id, error} */
  constructor(worker) {
    /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
    this.waiting = new Map();
    this.count = 0;
    this.worker = worker;
    this.worker.onmessage = ({ data }) => {
      const question = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) question?.reject(new Error(data.error));
      else question?.resolve(data.value);
    };
    // A script that is missing or broken never answers.
    this.worker.onerror = (event) => this.fail(new Error(event.message || "a worker's script is missing"));
  }

  /** @param {Error} error */
  fail(error) {
    for (const question of this.waiting.values()) question.reject(error);
    this.waiting.clear();
    this.broken = error;
  }

  /**
   * @param {object} question
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>}
   */
  ask(question, transfer = []) {
    if (this.broken) return Promise.reject(this.broken);
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...question }, transfer);
    });
  }
}
