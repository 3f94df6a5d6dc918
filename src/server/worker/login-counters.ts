/**
 * The counters of the SASL sessions, kept in the worker's lane of shared memory, so that every worker
 * can tell the sum of all.
 */
import { COUNTER } from '../../observe/counters.ts'
import type { CounterName } from '../../observe/metrics.ts'
import { FAILURE_REASONS, type FailureReason } from '../../sasl/failure-reason.ts'
import type { SaslCounters } from '../../sasl/mechanism.ts'

type SnakeCase<Name extends string> = Name extends `${infer Head}-${infer Rest}`
  ? `${Head}_${SnakeCase<Rest>}`
  : Name

/** The metric of a reason; one without a row in the table does not compile. */
function failureCounter(reason: FailureReason): CounterName {
  const name: string = `login_failed_${reason.replaceAll('-', '_')}`
  return name as `login_failed_${SnakeCase<FailureReason>}`
}

export function loginCounters(lane: Float64Array): SaslCounters {
  const failures = {} as Record<FailureReason, number>
  for (const reason of FAILURE_REASONS) define(failures, reason, lane, failureCounter(reason))
  const counters: SaslCounters = { successes: 0, rememberedSuccesses: 0, failures }
  define(counters, 'successes', lane, 'login_successes')
  define(counters, 'rememberedSuccesses', lane, 'login_remembered')
  return counters
}

/** Makes a property of a slot of the lane. */
function define(target: object, name: string, lane: Float64Array, counter: CounterName): void {
  const slot = COUNTER[counter]
  Object.defineProperty(target, name, {
    enumerable: true,
    get: () => lane[slot],
    set: (value: number) => {
      lane[slot] = value
    },
  })
}
