/**
 * How far a long run has come, on standard error: the part that begins, and from the second one on how
 * long the others will take if they take as long as those before.
 */
const SECONDS_A_MINUTE = 60

export class Progress {
  #count
  #done = 0
  #startMs = performance.now()

  constructor(count) {
    this.#count = count
  }

  /** The next part begins. */
  begin(what) {
    process.stderr.write(`${this.line(what, performance.now())}\n`)
    this.#done++
  }

  line(what, nowMs) {
    const place = `[${this.#done + 1}/${this.#count}]`
    if (this.#done === 0) return `${place} ${what}`
    const secondsEach = (nowMs - this.#startMs) / 1000 / this.#done
    const minutes = (secondsEach * (this.#count - this.#done)) / SECONDS_A_MINUTE
    return `${place} ${what} (${minutes < 1 ? 'less than a minute' : `about ${Math.round(minutes)} min`} left)`
  }
}
