/**
 * One worker's throttle, and what is told of it: a line when the refusal of a source or a user begins and
 * one when it ends, rows of `stats auth`, counters. Lines are as few as there is room for names in the
 * throttle's list, however many sources fail.
 */
import { BlockList } from 'node:net'
import { parseAddressBlock } from '../../base/address-block.ts'
import { assert } from '../../base/assert.ts'
import type { StatRows } from '../../command/operations/rows.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { LogEvent } from '../../observe/log.ts'
import { LoginThrottle } from '../../sasl/throttle/login-throttle.ts'
import type { Throttled } from '../../sasl/throttle/throttled-list.ts'
import type { ThreadClock } from './thread-clock.ts'
import type { WorkerAudit } from './worker-audit.ts'
import type { WorkerSettings } from './worker-messages.ts'

/** Undefined where failed logins are not held against anybody. */
export function createThrottle(
  settings: Pick<WorkerSettings, 'auth' | 'throttle' | 'clock'>,
  lane: Float64Array,
  clock: Pick<ThreadClock, 'sharedMs'>,
  write: (event: LogEvent) => void,
  audit: WorkerAudit | undefined,
): LoginThrottle | undefined {
  const wanted = settings.auth?.throttle
  if (wanted === undefined) return undefined
  return new LoginThrottle({
    memory: settings.throttle,
    failuresMax: wanted.failuresMax,
    refusalMsMin: wanted.refusalMsMin,
    refusalMsMax: wanted.refusalMsMax,
    isAllowed: addressFilter(wanted.allowed),
    nowMs: () => clock.sharedMs() - settings.clock.monotonicMs,
    onCount: (what) => {
      lane[what === 'user' ? COUNTER.throttled_users : COUNTER.throttled_sources]!++
    },
    onBegin: (who) => {
      write(beginLine(who))
      audit?.throttle('began', who)
    },
    onEnd: (who) => {
      write(endLine(who))
      audit?.throttle('ended', who)
    },
    onMore: (count) => {
      write({
        level: 'warn',
        event: 'throttled_more',
        message: 'more sources and users are refused than are named one by one',
        fields: { refused: count },
      })
      audit?.throttledMore(count)
    },
  })
}

/** Rows of `stats auth`: who is refused now, and for how long. */
export function throttledRows(throttle: LoginThrottle | undefined): StatRows {
  if (throttle === undefined) return [['throttle', 'off']]
  const rows = throttle
    .list()
    .flatMap(({ kind, name, seconds }, index) => [
      [`throttled:${index + 1}:${kind}`, name] as const,
      [`throttled:${index + 1}:seconds`, String(seconds)] as const,
    ])
  return [['throttle', 'on'], ...rows]
}

/** Whether an address, as a Peer has it, is in one of these networks. */
export function addressFilter(networks: readonly string[]): (address: string) => boolean {
  if (networks.length === 0) return () => false
  const list = new BlockList()
  for (const network of networks) {
    const block = parseAddressBlock(network)
    assert(typeof block !== 'string', 'networks were checked with the configuration')
    list.addSubnet(block.address, block.prefixLength, block.family)
  }
  return (address) => {
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
    return list.check(plain, plain.includes(':') ? 'ipv6' : 'ipv4')
  }
}

function beginLine({ kind, name }: Throttled): LogEvent {
  return {
    level: 'warn',
    event: 'throttle_began',
    message: 'too many logins failed: for a while they are refused unseen',
    fields: { [kind]: name },
  }
}

function endLine({ kind, name }: Throttled): LogEvent {
  return {
    level: 'info',
    event: 'throttle_ended',
    message: 'logins are looked at again',
    fields: { [kind]: name },
  }
}
