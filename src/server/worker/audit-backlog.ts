/**
 * What the audit is to be told and could not be yet: equal events stand together and are counted, so that
 * none is lost however many come. First by all that tells who did what from where; those for which there is
 * no room any more by their user; and those for whom there is none either by their kind.
 *
 * Invariant: the counts of what is kept and of what was taken sum up to the events that were added. A kept
 * event has the fields that all events it stands for share, and no others.
 */
import type { AuditEvent } from '../../observe/audit-line.ts'

/** Of events that are told apart in full, and of users beyond them. */
export const BACKLOG_MAX = 500

/** What tells events apart: who, from where, and what; not the key of an item, nor the port of a client. */
const TELLING = [
  'outcome',
  'command',
  'operation',
  'namespace',
  'number',
  'mechanism',
  'lacks',
  'reason',
  'state',
] as const
/** Events of a kind differ by what came of them: who got in is not mixed with who did not. */
const KINDS_MAX = 16

type Fields = Record<string, unknown>

interface Entry {
  readonly fields: Fields
  count: number
}

export class AuditBacklog {
  private readonly entriesMax: number
  private readonly full: Map<string, Entry> = new Map()
  private readonly byUser: Map<string, Entry> = new Map()
  private readonly byKind: Map<string, Entry> = new Map()

  constructor(entriesMax: number = BACKLOG_MAX) {
    this.entriesMax = entriesMax
  }

  get isEmpty(): boolean {
    return this.full.size + this.byUser.size + this.byKind.size === 0
  }

  /** One more user could not be named. */
  get isFull(): boolean {
    return this.byUser.size >= this.entriesMax
  }

  /** `event` may stand for several already. */
  add(event: AuditEvent): void {
    const { count = 1, ...fields }: Fields = { ...event }
    const kind = `${event.event}\n${fields.outcome ?? ''}`
    const user = `${kind}\n${fields.user ?? ''}`
    const what = TELLING.map((name) => fields[name] ?? '').join('\n')
    const added = { fields, count: Number(count) }
    const { entriesMax } = this
    const isAdded =
      merge(this.full, `${user}\n${addressOf(fields.peer)}\n${what}`, added, entriesMax) ||
      merge(this.byUser, user, added, entriesMax)
    if (!isAdded) merge(this.byKind, kind, added, KINDS_MAX)
  }

  /** The next that waits, with its count if it stands for several; undefined: there is none. */
  take(): AuditEvent | undefined {
    for (const entries of [this.full, this.byUser, this.byKind]) {
      for (const [key, { fields, count }] of entries) {
        entries.delete(key)
        return (count === 1 ? fields : { ...fields, count }) as unknown as AuditEvent
      }
    }
    return undefined
  }
}

/** False: there is no such entry, and no room for one. */
function merge(
  entries: Map<string, Entry>,
  key: string,
  added: Entry,
  entriesMax: number,
): boolean {
  const entry = entries.get(key)
  if (entry === undefined) {
    if (entries.size >= entriesMax) return false
    entries.set(key, added)
    return true
  }
  entry.count += added.count
  const { fields } = added
  for (const [name, value] of Object.entries(entry.fields)) {
    if (value === fields[name]) continue
    const address = addressOf(value)
    if (name === 'peer' && address === addressOf(fields[name])) entry.fields[name] = address
    else delete entry.fields[name]
  }
  return true
}

/** A peer as it is written, without its port. */
function addressOf(peer: unknown): string {
  return typeof peer === 'string' ? peer.replace(/:\d+$/, '') : ''
}
