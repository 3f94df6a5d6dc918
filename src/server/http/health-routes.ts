/**
 * `/live` and `/ready`, for whoever restarts servers and sends them clients. Both are open to everybody:
 * probes have no password, and learn nothing but a word. Alive is who answers at all: the process ends
 * by itself where a worker is lost, and a restart helps neither one that starts nor one that stops.
 */
import { HOLDS, type Readiness } from '../main/readiness.ts'
import { type Route, TEXT_PLAIN } from './route.ts'

const STATUS_OK = 200
const STATUS_UNAVAILABLE = 503

export function healthRoutes(readiness: Readiness): readonly Route[] {
  return [
    {
      path: '/live',
      freshMs: 0,
      answer: () => ({ status: STATUS_OK, contentType: TEXT_PLAIN, body: 'live\n' }),
    },
    {
      path: '/ready',
      freshMs: 0,
      answer: () => ({
        status: readiness.isReady ? STATUS_OK : STATUS_UNAVAILABLE,
        contentType: TEXT_PLAIN,
        body: readiness.isReady ? 'ready\n' : notReady(readiness),
      }),
    },
  ]
}

/** A line a reason: its name, and a sentence. */
function notReady(readiness: Readiness): string {
  return readiness.reasons.map((hold) => `${hold}: ${HOLDS[hold]}\n`).join('')
}
