/**
 * What operators may ask the server for. Each operation is a record: the right that it takes, whether
 * this server offers it, and what it does. Its key is the name that the audit uses. The dialects turn
 * requests into operations (protocol/text/operations.ts, protocol/binary/stat-keys.ts), have them carried
 * out, and write what comes of it in their own words.
 *
 * Invariant: `carryOut` is the one way to what an operation does, and does nothing for a caller that lacks
 * its right.
 */
import { NAMESPACE_DEFAULT } from '../../credential/principal.ts'
import { RIGHT, type Right } from '../../credential/rights.ts'
import type { PrefixTable } from '../../observe/prefix-table.ts'
import type {
  OperationArgument,
  OperationName,
  OperationRefusal,
} from '../../protocol/text/operations.ts'
import type { Caller } from '../caller.ts'
import { ClusterLines, type ClusterParts } from './cluster-lines.ts'
import { DUMP_CACHE, DUMP_KEYS, DUMP_META, FirstLines, type ItemDump } from './dump.ts'
import type { ItemSizes } from './item-sizes.ts'
import { FixedRows, type LineSource, type RowSource } from './rows.ts'
import { tellsOfAll } from './stats.ts'
import { watchKinds } from './watch-kinds.ts'

/** What operations work with: parts of a worker, and what its server was started with. */
export interface OperationParts {
  /** -A: `shutdown` is carried out. */
  readonly shutdownEnabled: boolean
  /** False with -W: no `watch`. */
  readonly watchEnabled: boolean
  /** False with -X: no `metadump`, `mgdump`, `stats cachedump`, `stats detail`. */
  readonly dumpEnabled: boolean
  /** Those of another namespace than the default one; undefined: it is no more. */
  readonly of?: (namespace: number) => OperationParts | undefined
  /** The number of a namespace; undefined: there is none of that name. */
  readonly namespaceOf?: (name: string) => number | undefined
  /**
   * The rows of a `stats` group, of all namespaces for who may see those; undefined for a group that
   * does not exist.
   */
  readonly stats: (group: string, seesAll: boolean) => RowSource | undefined
  readonly resetStats: () => void
  readonly prefixes: PrefixTable
  readonly sizes: ItemSizes
  /** A dump of all items in one of the DUMP_ forms. */
  readonly dump: (form: number) => ItemDump
  /** Sets the limit of the memory; false if it cannot be that. */
  readonly setMemoryLimit: (mib: number) => boolean
  readonly setVerbosity: (level: number) => void
  /** The nodes that clients may discover. */
  readonly cluster: ClusterParts
  /** Stops the server: what is under way is finished, also without `graceful`. */
  readonly shutdown: () => void
  /**
   * Loads the certificates again; resolves when they are shown to newcomers, or to one line about what
   * is wrong with them. Undefined without TLS.
   */
  readonly refreshCertificates: (() => Promise<string | undefined>) | undefined
}

/** What came of an operation. */
export type Answer =
  | { readonly kind: 'done' }
  | { readonly kind: 'rows'; readonly rows: RowSource }
  | { readonly kind: 'lines'; readonly lines: LineSource }
  /** The connection is to be sent events of these WATCH_ kinds from now on. */
  | { readonly kind: 'watch'; readonly kinds: number }
  /** What came of it is not known yet: `problem` resolves to one line, or to undefined if it is done. */
  | { readonly kind: 'later'; readonly problem: Promise<string | undefined> }
  /** The end of the connection is the answer. */
  | { readonly kind: 'close' }
  | { readonly kind: 'refused'; readonly reason: OperationRefusal }
  /** The caller lacks the right. */
  | { readonly kind: 'denied' }

export interface Operation {
  readonly right: Right
  /** It costs more than a request: whoever asked has no further turn before others had one. */
  readonly isCostly?: boolean
  /** It concerns all of the process: nobody may have it carried out from within a namespace. */
  readonly isGlobal?: boolean
  readonly isOffered?: (parts: OperationParts) => boolean
  /** Undefined: it is a request to the store, and goes the way of those (commands.ts). */
  readonly carryOut?: (parts: OperationParts, argument: OperationArgument, caller: Caller) => Answer
}

const DONE: Answer = { kind: 'done' }
const MEMORY_MIB_MIN = 8
const MEMORY_MIB_MAX = 1_000_000_000
/** memcached ends a cachedump here, too. */
const CACHEDUMP_BYTES_MAX = 2 * 1024 * 1024

const dumpIsOffered = ({ dumpEnabled }: OperationParts): boolean => dumpEnabled

export const OPERATIONS: Readonly<Record<OperationName, Operation>> = {
  stats: {
    right: 'stats',
    carryOut: (parts, { words }, caller) => {
      const isToldOfAll = seesAll(caller)
      if (tellsOfAll(words) && !isToldOfAll) {
        caller.restriction?.refused('stats', 'right')
        return DENIED
      }
      const rows = parts.stats(words, isToldOfAll)
      return rows === undefined ? refused('unknown') : { kind: 'rows', rows }
    },
  },
  // These change what all others see.
  'stats-reset': {
    right: 'admin',
    isCostly: true,
    carryOut: (parts) => {
      parts.resetStats()
      parts.prefixes.clear()
      return DONE
    },
  },
  'sizes-enable': {
    right: 'admin',
    isGlobal: true,
    carryOut: ({ sizes }) => ({ kind: 'rows', rows: new FixedRows(sizes.enable()) }),
  },
  'sizes-disable': {
    right: 'admin',
    isGlobal: true,
    carryOut: ({ sizes }) => ({ kind: 'rows', rows: new FixedRows(sizes.disable()) }),
  },
  'prefixes-enable': {
    right: 'admin',
    isGlobal: true,
    isOffered: dumpIsOffered,
    carryOut: ({ prefixes }) => {
      prefixes.enable(true)
      return DONE
    },
  },
  'prefixes-disable': {
    right: 'admin',
    isGlobal: true,
    isOffered: dumpIsOffered,
    carryOut: ({ prefixes }) => {
      prefixes.enable(false)
      return DONE
    },
  },
  // Prefixes are parts of keys.
  'prefixes-dump': {
    right: 'dump',
    isOffered: dumpIsOffered,
    carryOut: ({ prefixes }) => ({ kind: 'lines', lines: prefixes.dump() }),
  },
  'dump-items': {
    right: 'dump',
    isOffered: dumpIsOffered,
    carryOut: ({ dump }) => ({ kind: 'lines', lines: dump(DUMP_META) }),
  },
  'dump-keys': {
    right: 'dump',
    isOffered: dumpIsOffered,
    carryOut: ({ dump }) => ({ kind: 'lines', lines: dump(DUMP_KEYS) }),
  },
  'dump-cache': {
    right: 'dump',
    isOffered: dumpIsOffered,
    carryOut: ({ dump }, { number }) => ({
      kind: 'lines',
      lines: new FirstLines(dump(DUMP_CACHE), number, CACHEDUMP_BYTES_MAX),
    }),
  },
  watch: {
    right: 'watch',
    isOffered: ({ watchEnabled }) => watchEnabled,
    carryOut: (_, { words }) => {
      const kinds = watchKinds(words)
      return kinds === undefined ? refused('unknown') : { kind: 'watch', kinds }
    },
  },
  verbosity: {
    right: 'admin',
    isGlobal: true,
    carryOut: ({ setVerbosity }, { number }) => {
      setVerbosity(number)
      return DONE
    },
  },
  'memory-limit': {
    right: 'admin',
    isGlobal: true,
    // It is work for all threads.
    isCostly: true,
    carryOut: ({ setMemoryLimit }, { number: mib }) => {
      if (mib < MEMORY_MIB_MIN) return refused('too-small')
      if (mib > MEMORY_MIB_MAX) return refused('too-large')
      return setMemoryLimit(mib) ? DONE : refused('failed')
    },
  },
  // The parts that can be tuned are memcached's alone.
  tune: { right: 'admin', isGlobal: true, carryOut: () => DONE },
  'refresh-certificates': {
    right: 'admin',
    isGlobal: true,
    isCostly: true,
    isOffered: ({ refreshCertificates }) => refreshCertificates !== undefined,
    carryOut: ({ refreshCertificates }) =>
      refreshCertificates === undefined
        ? refused('unknown')
        : { kind: 'later', problem: refreshCertificates() },
  },
  'cluster-nodes': {
    right: 'read',
    isOffered: ({ cluster }) => cluster.current !== undefined,
    carryOut: ({ cluster: { current } }, { words }) =>
      current === undefined
        ? refused('unknown')
        : { kind: 'lines', lines: new ClusterLines(words, current) },
  },
  flush: { right: 'flush' },
  // What stands behind the name has its own right, and is an operation of its own: `enterNamespace`.
  namespace: { right: 'admin', isGlobal: true },
  shutdown: {
    right: 'admin',
    isGlobal: true,
    isOffered: ({ shutdownEnabled }) => shutdownEnabled,
    carryOut: ({ shutdown }) => {
      shutdown()
      return { kind: 'close' }
    },
  },
}

function refused(reason: OperationRefusal): Answer {
  return { kind: 'refused', reason }
}

export function isOffered(name: OperationName, parts: OperationParts): boolean {
  return OPERATIONS[name].isOffered?.(parts) ?? true
}

/** It is not offered here, of which is told. */
export function isWithheld(name: OperationName, parts: OperationParts, caller: Caller): boolean {
  if (isOffered(name, parts)) return false
  caller.withheld?.(name)
  return true
}

/** Whether a caller is told of all namespaces: the administrators of the default one are. */
function seesAll({ restriction, namespace }: Caller): boolean {
  if (namespace !== NAMESPACE_DEFAULT) return false
  return restriction === undefined || (restriction.rights & RIGHT.admin) !== 0
}

/** Bits of RIGHT. */
export function rightsOfOperation(name: OperationName): number {
  return RIGHT[OPERATIONS[name].right]
}

type Denied = Extract<Answer, { readonly kind: 'denied' }>
const DENIED: Denied = { kind: 'denied' }

/** DENIED, of which is told, or undefined: the caller may have it carried out. */
export function denialOf(name: OperationName, caller: Caller): Answer | undefined {
  const { isOpen, restriction } = caller
  if (!isOpen) return DENIED
  const isDenied = OPERATIONS[name].isGlobal === true && caller.namespace !== NAMESPACE_DEFAULT
  if (isDenied) {
    restriction?.refused(name, 'right')
    return DENIED
  }
  if (restriction === undefined) return undefined
  if ((restriction.rights & rightsOfOperation(name)) !== 0) return undefined
  restriction.refused(name, 'right')
  return DENIED
}

/**
 * Who asks, as somebody of the namespace that it names: with its own rights, and under its own name. What it
 * has carried out is told with the namespace. DENIED where it may not name one, of which is told; undefined
 * where there is none of that name.
 */
export function enterNamespace(
  name: string,
  { namespaceOf }: OperationParts,
  caller: Caller,
): Caller | Denied | undefined {
  const denial = denialOf('namespace', caller)
  if (denial !== undefined) return DENIED
  const namespace = namespaceOf?.(name)
  if (namespace === undefined) return undefined
  return {
    isOpen: caller.isOpen,
    restriction: caller.restriction,
    namespace,
    operated: (operation, number) => caller.operated?.(operation, number, name),
    withheld: (command) => caller.withheld?.(command),
  }
}

/** Carries out an operation, which does nothing where it is not offered, or to whom it is denied. */
export function carryOut(
  name: OperationName,
  parts: OperationParts,
  argument: OperationArgument,
  caller: Caller,
): Answer {
  const denial = denialOf(name, caller)
  if (denial !== undefined) return denial
  const { namespace } = caller
  const own = namespace === NAMESPACE_DEFAULT ? parts : parts.of?.(namespace)
  if (own === undefined) return DENIED
  if (isWithheld(name, own, caller)) return refused('unknown')
  // Monitors and clients ask for these all the time, and change nothing.
  const { right } = OPERATIONS[name]
  if (right !== 'stats' && right !== 'read') caller.operated?.(name, argument.number)
  return OPERATIONS[name].carryOut?.(own, argument, caller) ?? refused('unknown')
}
