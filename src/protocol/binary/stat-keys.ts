/** The keys of a binary STAT: some of them steer what is told; all others are groups of statistics. */
import type { OperationName } from '../text/operations.ts'

const OPERATION_OF_KEY: ReadonlyMap<string, OperationName> = new Map([
  ['reset', 'stats-reset'],
  ['sizes_enable', 'sizes-enable'],
  ['sizes_disable', 'sizes-disable'],
  ['detail on', 'prefixes-enable'],
  ['detail off', 'prefixes-disable'],
  ['detail dump', 'prefixes-dump'],
])

export function operationOfStatKey(key: string): OperationName {
  return OPERATION_OF_KEY.get(key) ?? 'stats'
}
