/** A store elsewhere takes no value in pieces: what is within the limit is gathered and sent whole. */
import { OUTCOME_NO_MEMORY } from '../../protocol/request.ts'
import type { LargeStore } from '../commands.ts'

export const NO_LARGE_VALUES: LargeStore = {
  extendedBytesMin: Number.POSITIVE_INFINITY,
  heldBytes: 0,
  heldLocation: 0,
  heldSequence: 0,
  begin: () => undefined,
  append: () => false,
  useValue: () => undefined,
  refuse: () => OUTCOME_NO_MEMORY,
  beginExtension: () => undefined,
  proceedExtension: () => OUTCOME_NO_MEMORY,
  useExtension: () => undefined,
  refuseExtension: (outcome) => outcome,
  hold: () => false,
  letGo: () => undefined,
  copyHeldRange: () => undefined,
}
