/** Why the engine did not carry a command out, as far as that changes what a client is told. */

export const FAILURE_NONE = 0
/** Nothing came back in time; whether it was carried out is not known. */
export const FAILURE_TIMEOUT = 1
/** The node, or the cluster, is out of reach or down; of a command under way it is not known either. */
export const FAILURE_DOWN = 2
/** Too much waits for the node already: it was not sent. */
export const FAILURE_BUSY = 3
/** The engine has no memory for it, and did nothing. */
export const FAILURE_FULL = 4
/** The engine refused it: rights, a foreign value, a setting. */
export const FAILURE_REFUSED = 5

const BY_CODE: Readonly<Record<string, number>> = {
  OOM: FAILURE_FULL,
  CLUSTERDOWN: FAILURE_DOWN,
  LOADING: FAILURE_DOWN,
  MASTERDOWN: FAILURE_DOWN,
  READONLY: FAILURE_DOWN,
  TRYAGAIN: FAILURE_DOWN,
  BUSY: FAILURE_DOWN,
}

/** The first word of an error's message, if it is an engine's: in capitals. */
export function engineCodeOf(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  return /^[A-Z]+(?= )/.exec(message)?.[0] ?? ''
}

export function failureOf(error: unknown): number {
  const code = engineCodeOf(error)
  if (code === '') return FAILURE_DOWN
  return BY_CODE[code] ?? FAILURE_REFUSED
}

export function isRedirection(error: unknown): boolean {
  const code = engineCodeOf(error)
  return code === 'MOVED' || code === 'ASK'
}

export function isFunctionMissing(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Function not found')
}
