/**
 * The counters of the SASL sessions, kept in the worker's lane of shared memory, so that every worker
 * can tell the sum of all.
 */
import { COUNTER, type CounterName } from '../../observe/counters.ts'
import { FAILURE_REASONS, type FailureReason } from '../../sasl/failure-reason.ts'
import type { SaslCounters } from '../../sasl/mechanism.ts'

const FAILURE_COUNTER: Readonly<Record<FailureReason, CounterName>> = {
  'unknown-user': 'login_failed_unknown_user',
  'wrong-password': 'login_failed_wrong_password',
  malformed: 'login_failed_malformed',
  'bad-authzid': 'login_failed_bad_authzid',
  'unknown-mechanism': 'login_failed_unknown_mechanism',
  'channel-binding': 'login_failed_channel_binding',
  'out-of-sequence': 'login_failed_out_of_sequence',
  busy: 'login_failed_busy',
  'credentials-changed': 'login_failed_credentials_changed',
  aborted: 'login_failed_aborted',
}

/** The rows of `stats auth` that come from here, in their order. */
export const LOGIN_COUNTERS: readonly CounterName[] = [
  'login_successes',
  'login_remembered',
  ...FAILURE_REASONS.map((reason) => FAILURE_COUNTER[reason]),
]

export function loginCounters(lane: Float64Array): SaslCounters {
  const failures = {} as Record<FailureReason, number>
  for (const reason of FAILURE_REASONS) define(failures, reason, lane, FAILURE_COUNTER[reason])
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
