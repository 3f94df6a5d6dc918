/** What an operator should know first: sentences made of a status, the worst on top. */
import { amount, duration, percent, whole } from './format.js'

const HOLDS = {
  starting: 'The server is starting: it takes no clients yet.',
  restoring: 'Items are being restored: until that is done, lookups may miss.',
  draining: 'The server is stopping: it finishes what is under way and takes no new clients.',
  stuck: 'A worker thread is stuck: no new clients are taken, and the process ends if it stays so.',
  store: 'The cluster that has the items is out of reach: requests fail, or miss.',
}

/** Above this share of all connections it is nearly full. */
const CROWDED = 0.9

function ofMemory({ metrics, history, facts, segments }, recent) {
  const refused = recent(history.refused_writes)
  const evicted = recent(history.evicted)
  if (refused > 0) {
    const text = `Memory is full: ${amount(refused)} writes a second are refused. Raise -m, or let items expire.`
    return [{ tone: 'bad', text }]
  }
  if (evicted > 0) {
    const text = `Memory is full: ${amount(evicted)} items a second are evicted for new ones.`
    return [{ tone: '', text }]
  }
  const free = segments.sums.find(({ use }) => use === 'free')?.segments ?? 0
  if (!facts.evicts && free < segments.segments * 0.1) {
    const share = percent(free / segments.segments)
    return [
      {
        tone: 'warn',
        text: `Memory is nearly full: ${share} of the segments are free, and with -M nothing is evicted.`,
      },
    ]
  }
  if (metrics.items === 0) return [{ tone: '', text: 'Nothing is stored yet.' }]
  return []
}

function ofConnections({ metrics, holds }, _recent) {
  const { curr_connections: open, max_connections: most, accepting_conns: accepts } = metrics
  if (open >= most) {
    return [{ tone: 'bad', text: `All ${whole(most)} connections (-c) are taken.` }]
  }
  if (open >= most * CROWDED) {
    return [{ tone: 'warn', text: `${whole(open)} of ${whole(most)} connections (-c) are taken.` }]
  }
  // What holds the server back says so itself.
  if (holds.length > 0) return []
  return accepts === 0 ? [{ tone: 'warn', text: 'No new connections are accepted just now.' }] : []
}

function ofLogins({ throttled, history }, recent) {
  const refused = throttled ?? []
  if (refused.length > 0) {
    const longest = Math.max(...refused.map(({ seconds }) => seconds))
    const users = refused.filter(({ kind }) => kind.endsWith('user')).length
    const sources = refused.length - users
    const who = [
      sources > 0 ? `${sources} ${sources === 1 ? 'source' : 'sources'}` : '',
      users > 0 ? `${users} ${users === 1 ? 'user' : 'users'}` : '',
    ].filter((it) => it !== '')
    const text = `Logins are throttled: ${who.join(' and ')} refused unseen, for another ${duration(longest)} at most.`
    return [{ tone: 'warn', text }]
  }
  const failed = recent(history.failed_logins)
  return failed >= 1 ? [{ tone: 'warn', text: `${amount(failed)} logins a second fail.` }] : []
}

/** `recent` gives what a series was in the last seconds. */
export function noticesOf(status, recent) {
  const holds = status.holds.map((hold) => ({
    tone: 'bad',
    text: HOLDS[hold] ?? `The server is not ready: ${hold}.`,
  }))
  const open = status.facts.authentication
    ? []
    : [
        {
          tone: 'warn',
          text: 'There is no authentication: whoever reaches the port reads and writes everything.',
        },
      ]
  const all = [ofMemory, ofConnections, ofLogins].flatMap((of) => of(status, recent))
  const order = { bad: 0, warn: 1, '': 2 }
  return [...holds, ...open, ...all].sort((a, b) => order[a.tone] - order[b.tone])
}
