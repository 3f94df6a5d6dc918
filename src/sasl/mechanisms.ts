/**
 * The table of mechanisms: a row for each that this server knows, strongest first. Whatever needs to
 * know which mechanisms there are (what --mechanisms takes, what is announced, which hashes a password
 * in the clear is kept as, which names a log repeats) asks here. A new mechanism is a file of its own
 * and a row.
 *
 * The list goes out before the client has said anything, and what stands in it decides what clients of
 * the libmemcached family do: they take the strongest, and never a second one. So:
 *
 * - A -PLUS is not configured. It stands beside its bare name wherever the channel can be bound to, so that
 *   it is there for every SCRAM of the list or for none. Without its bare name beside it libsasl2 sends
 *   the password by PLAIN; with another hash alone beside it, it takes us for who cannot bind.
 * - EXTERNAL stands in the list of a connection whose certificate names a user, and beside PLAIN only where
 *   a SCRAM is, too: libsasl2 prefers it to PLAIN also where it cannot do it.
 *
 * Which of them are announced when nothing is configured is a choice, and stands with the option.
 */
import { assert } from '../base/assert.ts'
import type { Channel } from '../base/channel.ts'
import type { Pipe } from '../base/pipe.ts'
import type { CredentialSnapshot } from '../credential/credential-snapshot.ts'
import { type ScramHashName, scramHash } from '../credential/verifier.ts'
import { userOfCertificate } from './certificate-user.ts'
import { canBind } from './channel-binding.ts'
import { ExternalMechanism } from './external.ts'
import type { FailureReason } from './failure-reason.ts'
import type { Mechanism, MechanismContext, RefuseEntry } from './mechanism.ts'
import { OAuthBearerMechanism } from './oauth-bearer.ts'
import { PlainMechanism } from './plain.ts'
import { ScramMechanism } from './scram.ts'

export interface MechanismRow {
  /** In its own spelling, upper case (RFC 4422, 3.1). */
  readonly name: string
  /** The hash that a user needs a verifier of; undefined if any will do, or none. */
  readonly hash: ScramHashName | undefined
  /** Whether every user of the snapshot can log in by it. */
  usable(snapshot: CredentialSnapshot): boolean
  /**
   * Who can use it is told by the connection, not by the users' verifiers: that every user could do so
   * says nothing of those who come without.
   */
  readonly isOfConnection?: true
  /** Whoever can read the message has the password. */
  readonly sendsPassword?: true
  /** It may begin with an empty response; of any other that is asked for by a challenge. */
  readonly beginsEmpty?: true
  /** Whether it is announced and taken on such a channel; undefined: on every one. */
  readonly usableOn?: (channel: Channel, context: MechanismContext) => boolean
  /** Why it is not taken on a channel on which it is not usable, for the log. */
  readonly refusalOn?: (channel: Channel, context: MechanismContext) => FailureReason
  /** What stands before it in the list wherever it is usable itself. */
  readonly bound?: MechanismRow
  /** One login's mechanism, for who comes through `pipe`. */
  create(context: MechanismContext, pipe: Pipe, refuseEntry: RefuseEntry): Mechanism
}

const EXTERNAL = 'EXTERNAL'
const PLAIN = 'PLAIN'

const MECHANISMS: readonly MechanismRow[] = [
  scramRow('SCRAM-SHA-512'),
  scramRow('SCRAM-SHA-256'),
  scramRow('SCRAM-SHA-1'),
  {
    name: EXTERNAL,
    hash: undefined,
    usable: () => true,
    isOfConnection: true,
    beginsEmpty: true,
    usableOn: (channel, context) => typeof userOfCertificate(channel, context) !== 'string',
    refusalOn: (channel, context) => {
      const named = userOfCertificate(channel, context)
      return typeof named === 'string' ? named : 'unknown-mechanism'
    },
    create: (context, { channel }) => new ExternalMechanism(context, channel),
  },
  {
    name: PLAIN,
    hash: undefined,
    usable: () => true,
    sendsPassword: true,
    usableOn: ({ refusesPasswords }) => refusesPasswords !== true,
    refusalOn: () => 'needs-tls',
    create: (context, pipe, refuseEntry) => new PlainMechanism(context, pipe, refuseEntry),
  },
  {
    name: 'OAUTHBEARER',
    hash: undefined,
    isOfConnection: true,
    // Users need not have a token: those who have one choose this, and nobody else can.
    usable: () => true,
    usableOn: ({ kind }) => kind === 'tls',
    create: (context, pipe) => {
      assert(context.tokens !== undefined, 'whoever configures it says which tokens are taken')
      return new OAuthBearerMechanism(context, context.tokens, pipe)
    },
  },
]

/** Those that can be configured. */
export const MECHANISM_NAMES: readonly string[] = MECHANISMS.map(({ name }) => name)

/** The row of a name in the mechanism's own spelling; undefined for one that is not known here. */
export function findMechanism(name: string): MechanismRow | undefined {
  return withBound(MECHANISMS).find((row) => row.name === name)
}

/** The rows of configured names, in their order. Throws a RangeError at a name that is not known. */
export function configuredMechanisms(names: readonly string[]): MechanismRow[] {
  return names.map((name) => {
    const row = MECHANISMS.find((each) => each.name === name)
    if (row !== undefined) return row
    throw new RangeError(`unknown mechanism ${name}; known are ${MECHANISM_NAMES.join(', ')}`)
  })
}

/**
 * Of these, one of which every user must be able to use: those that are not of the connection, unless
 * there are no others.
 */
export function forEveryUser<Row extends Pick<MechanismRow, 'isOfConnection'>>(
  rows: readonly Row[],
): readonly Row[] {
  const ofUsers = rows.filter(({ isOfConnection }) => isOfConnection !== true)
  return ofUsers.length > 0 ? ofUsers : rows
}

/** What is announced on a channel, and taken there, of what the users can use. */
export function announcedOn(
  usable: readonly MechanismRow[],
  channel: Channel,
  context: MechanismContext,
): readonly MechanismRow[] {
  const isUsableOn = (row: MechanismRow): boolean => row.usableOn?.(channel, context) ?? true
  const rows = withBound(usable.filter(isUsableOn)).filter(isUsableOn)
  const hasScram = rows.some(({ hash }) => hash !== undefined)
  const hasPlain = rows.some(({ name }) => name === PLAIN)
  return hasScram || !hasPlain ? rows : rows.filter(({ name }) => name !== EXTERNAL)
}

function withBound(rows: readonly MechanismRow[]): MechanismRow[] {
  return rows.flatMap((row) => (row.bound === undefined ? [row] : [row.bound, row]))
}

function scramRow(name: ScramHashName): MechanismRow {
  const ofHash = {
    hash: name,
    usable: ({ lacking }: CredentialSnapshot) => !lacking.some(({ hash }) => hash === name),
  }
  return {
    ...ofHash,
    name,
    create: (context, pipe, refuseEntry) =>
      new ScramMechanism(context, scramHash(name), pipe, 'may-bind', refuseEntry),
    bound: {
      ...ofHash,
      name: `${name}-PLUS`,
      usableOn: canBind,
      create: (context, pipe, refuseEntry) =>
        new ScramMechanism(context, scramHash(name), pipe, 'must-bind', refuseEntry),
    },
  }
}
