/** The tables of the page: which rows and columns they have, and how they come into the document. */
import { stackedBar } from './charts.js'
import { amount, bytes, duration, percent, ratio, whole } from './format.js'

export const USE_NAMES = {
  main: 'main queue',
  small: 'small queue',
  open: 'being written',
  emptied: 'being emptied',
  receiving: 'arriving values',
  index: 'index',
  free: 'free',
}
const USES_SHOWN = ['main', 'small', 'open', 'emptied', 'receiving', 'index', 'free']

function cell(kind, content, className = '') {
  const made = document.createElement(kind)
  if (className !== '') made.className = className
  if (content instanceof Node) made.append(content)
  else made.textContent = content
  return made
}

/**
 * `columns`: heads, or a head with how its cell comes from a row. Rows without such columns are lists of
 * texts. The first cell names the row.
 */
export function fillTable(id, columns, rows, meter) {
  const table = document.getElementById(id)
  const named = columns.map((column) => (typeof column === 'string' ? { head: column } : column))
  const head = document.createElement('tr')
  head.append(
    ...named.map((column) => {
      const made = cell('th', column.head, column.isText ? 'text' : '')
      made.scope = 'col'
      return made
    }),
  )
  const body = rows.map((row) => {
    const made = document.createElement('tr')
    const cells = named.map(({ of, isText }, index) => {
      const content = of === undefined ? row[index] : of(row, meter)
      const one = cell(index === 0 ? 'th' : 'td', content, isText ? 'text' : '')
      if (index === 0) {
        one.scope = 'row'
        if (of === undefined) one.classList.add('label')
        else if (!(content instanceof Node)) {
          one.classList.add('name')
          one.title = content
        }
      }
      return one
    })
    made.append(...cells)
    return made
  })
  if (rows.length === 0) {
    const none = document.createElement('tr')
    const only = cell('td', 'None yet.', 'empty')
    only.colSpan = named.length
    none.append(only)
    body.push(none)
  }
  const sections = [document.createElement('thead'), document.createElement('tbody')]
  if (named.some(({ head: text }) => text !== '')) sections[0].append(head)
  sections[1].append(...body)
  table.replaceChildren(...sections)
}

/** What was counted a second between two readings of one row. */
function rateBetween(status, before, list, key, name) {
  const seconds = (status.at_ms - (before?.at_ms ?? status.at_ms)) / 1000
  const earlier = new Map(before?.[list].map((row) => [row[key], row[name]]))
  return (row) => {
    const was = earlier.get(row[key])
    if (was === undefined || seconds <= 0) return undefined
    return Math.max(0, row[name] - was) / seconds
  }
}

const shown = (value) => (value === undefined ? '–' : amount(value))

export function namespaceColumns(status, before) {
  const rate = (name) => rateBetween(status, before, 'namespaces', 'name', name)
  const gets = rate('gets')
  const sets = rate('sets')
  const evictions = rate('evictions')
  const users = { head: 'users', of: (row) => (row.users === null ? '–' : whole(row.users)) }
  return [
    { head: 'namespace', of: ({ name }) => name },
    users,
    { head: 'quota', of: (row) => bytes(row.quota_bytes) },
    {
      head: 'used',
      isText: true,
      of: (row, meter) => {
        const share = row.bytes / Math.max(row.quota_bytes, 1)
        const picture = meter(share, share > 1 ? 'warn' : '')
        picture.setAttribute('width', '56')
        picture.setAttribute('height', '8')
        picture.classList.remove('meter')
        const both = document.createDocumentFragment()
        both.append(picture, ` ${bytes(row.bytes)}`)
        return both
      },
    },
    { head: 'items', of: (row) => amount(row.items) },
    { head: 'gets/s', of: (row) => shown(gets(row)) },
    { head: 'hits', of: (row) => percent(ratio(row.hits, row.gets - row.hits)) },
    { head: 'sets/s', of: (row) => shown(sets(row)) },
    { head: 'evicted/s', of: (row) => shown(evictions(row)) },
  ]
}

/** As many columns as are counted of users. */
export function userColumns(status, before) {
  const [first] = status.users
  const names = Object.keys(first ?? {}).filter((name) => name !== 'user')
  return [
    { head: 'user', of: ({ user }) => user },
    ...names.map((name) => {
      const write = name.includes('bytes') ? bytes : amount
      const isLevel = name.includes('connections')
      const rate = rateBetween(status, before, 'users', 'user', name)
      const value = (row) => (isLevel ? row[name] : rate(row))
      return {
        head: name.replaceAll('_', ' ').replace(/^user /, '') + (isLevel ? '' : '/s'),
        of: (row) => (value(row) === undefined ? '–' : write(value(row))),
      }
    }),
  ]
}

/** By mechanism and reason where that is counted, else by reason. */
export function loginRows({ metrics, logins }) {
  if (logins.length > 0) {
    return [...logins]
      .sort((a, b) => b.value - a.value)
      .map(({ labels, value }) => [Object.values(labels).join(' · '), whole(value)])
  }
  const failures = Object.entries(metrics)
    .filter(([name, value]) => name.startsWith('login_failed_') && value > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([name, value]) => [name.replace('login_failed_', '').replaceAll('_', ' '), whole(value)])
  const rows = [
    ['succeeded', metrics.login_successes],
    ['of those, remembered', metrics.login_remembered],
    ['failed', metrics.auth_errors],
  ].map(([name, value]) => [name, whole(value)])
  return [
    ...rows,
    ...failures.map(([name, value]) => [`– ${name}`, value]),
    ['commands refused before login', whole(metrics.auth_refused_commands)],
    ['commands refused for want of a right', whole(metrics.auth_denied_commands)],
  ]
}

export function throttledRows({ throttled }) {
  return (throttled ?? []).map(({ kind, name, seconds }) => [
    name,
    kind.replace('_', ' '),
    duration(seconds),
  ])
}

export function requestRows(metrics) {
  const hitsOf = (verb) => [metrics[`${verb}_hits`], metrics[`${verb}_misses`]]
  const row = (name, [hits, misses]) => [
    name,
    hits + misses === 0 ? '0' : `${amount(hits + misses)}, ${percent(ratio(hits, misses))} found`,
  ]
  return [
    row('get', [metrics.get_hits, metrics.get_misses]),
    ['set, add, replace, append, prepend', amount(metrics.cmd_set)],
    row('delete', hitsOf('delete')),
    row('incr', hitsOf('incr')),
    row('decr', hitsOf('decr')),
    row('touch, gat', hitsOf('touch')),
    ['cas stored', amount(metrics.cas_hits)],
    ['cas lost to another change', amount(metrics.cas_badval)],
    ['flush_all', whole(metrics.cmd_flush)],
    ['value too large', whole(metrics.store_too_large)],
    ['refused for want of memory', whole(metrics.store_no_memory)],
  ]
}

export function connectionRows(metrics) {
  return [
    ['open', `${whole(metrics.curr_connections)} of ${whole(metrics.max_connections)}`],
    ['not logged in', whole(metrics.unauthenticated_connections)],
    ['waiting for a place', whole(metrics.waiting_connections)],
    ['accepted in all', amount(metrics.total_connections)],
    ['turned away: no place', amount(metrics.rejected_connections)],
    ['closed: no login in time', amount(metrics.login_timeouts)],
    ['closed: too many failed logins', amount(metrics.auth_attempts_exceeded)],
    ['closed: idle', amount(metrics.idle_kicks)],
    ['closed: took no replies', amount(metrics.stalled_kicks)],
    ['closed: made no sense', amount(metrics.protocol_errors)],
    ['TLS handshakes that failed', amount(metrics.ssl_handshake_errors)],
    ['replies not taken yet', bytes(metrics.unread_reply_bytes)],
  ]
}

function useName(use) {
  const both = document.createDocumentFragment()
  const swatch = document.createElement('span')
  swatch.className = `swatch use-${use}`
  swatch.setAttribute('aria-hidden', 'true')
  both.append(swatch, USE_NAMES[use])
  return both
}

export function showMemory({ segments, metrics }) {
  const of = new Map(segments.sums.map((it) => [it.use, it]))
  const total = segments.segments * segments.segment_bytes
  const wholeBytes = (use) => of.get(use).segments * segments.segment_bytes
  const itemUses = USES_SHOWN.filter((use) => use !== 'index' && use !== 'free')
  const live = itemUses.reduce((all, use) => all + of.get(use).live_bytes, 0)
  const taken = itemUses.reduce((all, use) => all + wholeBytes(use), 0)
  stackedBar(
    document.getElementById('memory-bar'),
    [
      ...itemUses.map((use) => ({ className: `use-${use}`, value: of.get(use).live_bytes })),
      { className: 'use-index', value: wholeBytes('index') },
      { className: 'use-dead', value: taken - live },
      { className: 'use-free', value: wholeBytes('free') },
    ],
    total,
  )
  const text =
    `${amount(metrics.items)} items have ${bytes(live)}. Their segments have ${bytes(taken)}, ` +
    `of which ${bytes(taken - live)} are dead or not filled yet; ` +
    `the index has ${bytes(metrics.index_bytes)}, and ${bytes(wholeBytes('free'))} are free.`
  document.getElementById('memory-text').textContent = text
  fillTable(
    'uses',
    [
      { head: 'used for', of: ({ use }) => useName(use) },
      { head: 'segments', of: ({ segments: count }) => whole(count) },
      { head: 'memory', of: ({ use }) => bytes(wholeBytes(use)) },
      {
        head: 'live',
        of: ({ use, live_bytes: bytesLive }) =>
          use === 'free' || wholeBytes(use) === 0 ? '–' : percent(bytesLive / wholeBytes(use)),
      },
    ],
    USES_SHOWN.map((use) => of.get(use)),
  )
}
