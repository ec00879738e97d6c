/** Classes, one a frame -> words: seed 001's rules (ngzhili/LSTM_Keypoint_Sign_Language_Detector). */

/** Frames that a clip classifier looks at. */
export const WINDOW = 30;
/** Answers of which most have to be the same. */
export const VOTES = 10;
/** Words of the sentence that stay. */
export const WORDS = 5;

/** The last answers, and the word that they agree on. */
export class Majority {
  constructor() {
    this.clear();
  }

  clear() {
    /** @type {number[]} */
    this.votes = [];
  }

  /**
   * @param {number} answer the likeliest class
   * @param {number} probability
   * @param {number} threshold
   * @returns {boolean} whether it is what most of the last answers were, and likely enough
   */
  push(answer, probability, threshold) {
    this.votes = [...this.votes, answer].slice(-VOTES);
    const same = this.votes.filter((vote) => vote === answer).length;
    return same > VOTES / 2 && probability >= threshold;
  }
}

/**
 * A sentence with a word more, if it is not the last one again.
 * @template {{text: string}} Word
 * @param {Word[]} words
 * @param {Word} word
 * @param {number} [most]
 */
export function said(words, word, most = WORDS) {
  return words.at(-1)?.text === word.text ? words : [...words, word].slice(-most);
}
