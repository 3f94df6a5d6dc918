/**
 * The lines of the audit: JSON, one an event, made from named fields alone. What is not in the table below
 * does not get into a line, whatever a caller hands over; no field is for a secret, a value or a message.
 *
 * Invariant: a line is one line of printable ASCII and letters: whatever a name has in it, it neither ends
 * the line nor drives a terminal, and `JSON.parse` gives it back as it was.
 */

const FIELDS = {
  start: ['version', 'node', 'pid', 'threads', 'authentication'],
  stop: ['by', 'connections_cut'],
  listener: ['address', 'family', 'port', 'tls', 'identity'],
  handshake: ['outcome', 'peer', 'reason', 'count'],
  login: [
    'outcome',
    'user',
    'unknown_user',
    'peer',
    'mechanism',
    'reason',
    'tls',
    'certificate',
    'fingerprint',
    'count',
  ],
  refused: ['user', 'peer', 'command', 'lacks', 'key', 'count'],
  operation: ['user', 'peer', 'operation', 'namespace', 'number', 'count'],
  throttle: ['state', 'source', 'network', 'user', 'unknown_user', 'more', 'count'],
  // What stands there of roles and namespaces, or of certificates, are names as well.
  reload: [
    'what',
    'outcome',
    'users',
    'added',
    'removed',
    'changed',
    'roles',
    'namespaces',
    'generation',
    'files',
  ],
  lost: ['count', 'events', 'users'],
} as const

type Table = typeof FIELDS
export type AuditEventName = keyof Table
type AuditValue = string | number | boolean | readonly string[] | undefined

/** An event with the fields that it may have. */
export type AuditEvent = {
  [Name in AuditEventName]: { readonly event: Name } & {
    readonly [Field in Table[Name][number]]?: AuditValue
  }
}[AuditEventName]

/** What every line begins with. */
export interface AuditHead {
  /** Of the process: a sequence belongs to one. */
  readonly run: string
  /** Counts all events of the run from 1 on: one that is missing was lost. */
  readonly sequence: number
  readonly time: Date
}

/** Of a name; longer ones are cut. */
const TEXT_CHARS_MAX = 1024
const LIST_MAX = 200

export function auditLine({ run, sequence, time }: AuditHead, event: AuditEvent): string {
  const fields: Record<string, unknown> = {
    time: time.toISOString(),
    run,
    seq: sequence,
    event: event.event,
  }
  const given: Readonly<Record<string, AuditValue>> = event
  for (const name of FIELDS[event.event]) {
    const value = given[name]
    if (value !== undefined && value !== '' && !isEmptyList(value)) fields[name] = bounded(value)
  }
  return `${escapeUnprintable(JSON.stringify(fields))}\n`
}

/** The time of a line, which stands beside those of other programs. */
export function auditTime(): Date {
  return new Date()
}

function isEmptyList(value: AuditValue): boolean {
  return typeof value === 'object' && value.length === 0
}

function bounded(value: Exclude<AuditValue, undefined>): unknown {
  if (typeof value === 'string') return cut(value)
  if (typeof value !== 'object') return value
  const listed = value.slice(0, LIST_MAX).map(cut)
  return value.length > LIST_MAX ? [...listed, `and ${value.length - LIST_MAX} more`] : listed
}

function cut(text: string): string {
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}...` : text
}

/** JSON leaves in what a terminal or another parser may take for more than a letter. */
function escapeUnprintable(json: string): string {
  return json.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}
