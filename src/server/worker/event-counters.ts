/**
 * The counters with labels of what happens seldom: logins, refusals, handshakes. What a client names (a
 * mechanism, say) is in one of these closed lists or is counted as the last of them.
 */
import type { LoginEvent, RefusalEvent } from '../../connection/auth-gate.ts'
import { LabeledCounters } from '../../observe/labeled-counters.ts'
import type { MetricFamily } from '../../observe/metric-family.ts'
import type { SharedLanes } from '../../observe/shared-lanes.ts'
import { FAILURE_REASONS } from '../../sasl/failure-reason.ts'
import { MECHANISM_NAMES } from '../../sasl/mechanisms.ts'

const OTHER = 'other'

/** What the log calls a connection whose listener stands for a user. */
const LISTENER = 'listener'
/** A login by PLAIN over HTTP. */
export const HTTP_MECHANISM = 'http-basic'
const MECHANISMS: readonly string[] = [
  ...MECHANISM_NAMES,
  ...MECHANISM_NAMES.filter((name) => name.startsWith('SCRAM-')).map((name) => `${name}-PLUS`),
  LISTENER,
  HTTP_MECHANISM,
  OTHER,
]

/** Why no handshake came of it, as tls-phase.ts, its users and OpenSSL say. */
const HANDSHAKE_FAILURES: readonly string[] = [
  'not-a-client-hello',
  'not-finished',
  'too-many-retries',
  'ECONNRESET',
  'EPIPE',
  'no-client-certificate',
  'CERT_HAS_EXPIRED',
  'CERT_REVOKED',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_SSL_NO_SHARED_CIPHER',
  'ERR_SSL_UNSUPPORTED_PROTOCOL',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  OTHER,
]

const COUNTERS = new LabeledCounters([
  {
    name: 'logins',
    help: 'Logins that succeeded, by mechanism.',
    labels: { mechanism: MECHANISMS },
  },
  {
    name: 'login_failures',
    help: 'Logins that failed, by mechanism and reason.',
    labels: { mechanism: MECHANISMS, reason: [...FAILURE_REASONS, OTHER] },
  },
  {
    name: 'denied_commands',
    help: 'Refused to users who lack the right or may not use the key, or to all by an option.',
    labels: { lacks: ['right', 'key', 'option'] },
  },
  {
    name: 'tls_handshakes',
    help: 'Handshakes that succeeded, by version of TLS and whether a session was resumed.',
    labels: { version: ['TLSv1.3', 'TLSv1.2', OTHER], resumed: ['true', 'false'] },
  },
  {
    name: 'tls_handshake_failures',
    help: 'Handshakes that failed or were left, by reason.',
    labels: { reason: HANDSHAKE_FAILURES },
  },
])

export function createEventMemory(workerCount: number): SharedLanes {
  return COUNTERS.createMemory(workerCount)
}

export function eventFamilies(memory: SharedLanes): MetricFamily[] {
  return COUNTERS.families(memory)
}

/** One worker's. */
export class EventCounters {
  private readonly count: ReturnType<typeof COUNTERS.countingInto>

  constructor(memory: SharedLanes, workerIndex: number) {
    this.count = COUNTERS.countingInto(memory, workerIndex)
  }

  login(event: LoginEvent): void {
    if (event.succeeded) this.count('logins', event.mechanism)
    else this.count('login_failures', event.mechanism, event.reason)
  }

  refusal({ lack }: RefusalEvent): void {
    this.count('denied_commands', lack)
  }

  handshake(version: string, isResumed: boolean): void {
    this.count('tls_handshakes', version, String(isResumed))
  }

  handshakeFailed(code: string): void {
    this.count('tls_handshake_failures', code)
  }
}
