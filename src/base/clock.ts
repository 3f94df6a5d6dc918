/**
 * Time as a parameter. Everything that needs to know what time it is takes a Clock, so that tests
 * turn it by hand. The wall clock is for expiry and logs, the monotonic one for deadlines: a
 * deadline must not move when somebody sets the machine's date.
 */

export interface Clock {
  /** Unix time in whole seconds. */
  unixSeconds(): number
  /** Milliseconds since some fixed instant; never goes back. */
  monotonicMs(): number
}

export const systemClock: Clock = {
  unixSeconds: () => Math.floor(Date.now() / 1000),
  monotonicMs: () => performance.now(),
}
