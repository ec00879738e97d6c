/** A class per frame -> words, by the rules of ngzhili/LSTM_Keypoint_Sign_Language_Detector. */

/** Frames that a clip classifier reads. */
export const WINDOW = 30;
/** The number of answers whose majority decides. */
export const VOTES = 10;
/** Words of the sentence that are kept. */
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
 * The sentence with another word, unless the word repeats the last one.
 * @template {{text: string}} Word
 * @param {Word[]} words
 * @param {Word} word
 * @param {number} [most]
 */
export function said(words, word, most = WORDS) {
  return words.at(-1)?.text === word.text ? words : [...words, word].slice(-most);
}
