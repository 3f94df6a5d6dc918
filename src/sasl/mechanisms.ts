/**
 * The table of mechanisms: a row for each that this server knows, strongest first. Whatever needs to
 * know which mechanisms there are (what --mechanisms takes, what is announced, which hashes a password
 * in the clear is kept as, which names a log repeats) asks here. A new mechanism is a file of its own
 * and a row.
 *
 * Which of them are announced when nothing is configured is a choice, and stands with the option.
 */
import type { Channel } from '../base/channel.ts'
import type { Pipe } from '../base/pipe.ts'
import type { CredentialSnapshot } from '../credential/snapshot.ts'
import { type ScramHashName, scramHash } from '../credential/verifier.ts'
import type { Mechanism, MechanismContext } from './mechanism.ts'
import { PlainMechanism } from './plain.ts'
import { ScramMechanism } from './scram.ts'

export interface MechanismRow {
  /** In its own spelling, upper case (RFC 4422, 3.1). */
  readonly name: string
  /** The hash that a user needs a verifier of; undefined if any will do, or none. */
  readonly hash: ScramHashName | undefined
  /** Whether every user of the snapshot can log in by it. */
  usable(snapshot: CredentialSnapshot): boolean
  /** Whether it is announced and taken on such a channel; undefined: on every one. */
  readonly usableOn?: (channel: Channel) => boolean
  /** One login's mechanism, for who comes through `pipe`. */
  create(context: MechanismContext, pipe: Pipe): Mechanism
}

const MECHANISMS: readonly MechanismRow[] = [
  scramRow('SCRAM-SHA-512'),
  scramRow('SCRAM-SHA-256'),
  scramRow('SCRAM-SHA-1'),
  {
    name: 'PLAIN',
    hash: undefined,
    usable: () => true,
    create: (context, pipe) => new PlainMechanism(context, pipe),
  },
]

export const MECHANISM_NAMES: readonly string[] = MECHANISMS.map(({ name }) => name)

/** The row of a name in the mechanism's own spelling; undefined for one that is not known here. */
export function findMechanism(name: string): MechanismRow | undefined {
  return MECHANISMS.find((row) => row.name === name)
}

/** The rows of configured names, in their order. Throws a RangeError at a name that is not known. */
export function configuredMechanisms(names: readonly string[]): MechanismRow[] {
  return names.map((name) => {
    const row = findMechanism(name)
    if (row !== undefined) return row
    throw new RangeError(`unknown mechanism ${name}; known are ${MECHANISM_NAMES.join(', ')}`)
  })
}

function scramRow(name: ScramHashName): MechanismRow {
  return {
    name,
    hash: name,
    usable: ({ lacking }) => !lacking.some(({ hash }) => hash === name),
    create: (context, pipe) => new ScramMechanism(context, scramHash(name), pipe),
  }
}
