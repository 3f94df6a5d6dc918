/**
 * The page at /: reads /status.json every other second and shows it. It asks for nothing else, keeps
 * nothing, and changes nothing.
 *
 * Invariant: what comes from clients (names of users and namespaces, addresses) becomes text, never markup.
 */
import { Chart, SegmentPicture, sparkline, svg } from './charts.js'
import { amount, bytes, clockTime, duration, percent, ratio, whole } from './format.js'
import { LatencyReadings } from './latency.js'
import { noticesOf } from './notices.js'
import {
  connectionRows,
  fillTable,
  loginRows,
  namespaceColumns,
  requestRows,
  showMemory,
  throttledRows,
  USE_NAMES,
  userColumns,
} from './tables.js'

const POLL_MS = 2000
/** No answer for so long is none. */
const ANSWER_MS = 5000
/** Points of the history that make the full width. */
const SLOTS = 300
/** The headline is of so many seconds, not of one moment. */
const HEADLINE_SECONDS = 10

const sum = (...lists) => lists[0].map((_, index) => lists.reduce((all, it) => all + it[index], 0))
const perSecond = (value) => amount(value)

const CHARTS = [
  {
    title: 'Lookups',
    unit: 'keys/s',
    format: perSecond,
    lines: [
      { name: 'hits', color: 'blue', isArea: true, of: ({ hits }) => hits },
      { name: 'misses', color: 'orange', of: ({ misses }) => misses },
    ],
  },
  {
    title: 'Hit ratio',
    unit: '',
    format: percent,
    top: 1,
    lines: [
      {
        name: 'of lookups',
        color: 'blue',
        of: ({ hits, misses }) => hits.map((value, index) => ratio(value, misses[index])),
      },
    ],
  },
  {
    title: 'Changes',
    unit: 'requests/s',
    format: perSecond,
    lines: [
      { name: 'set', color: 'blue', isArea: true, of: ({ sets }) => sets },
      { name: 'delete', color: 'orange', of: ({ deletes }) => deletes },
      { name: 'touch', color: 'teal', of: ({ touches }) => touches },
      { name: 'incr, decr', color: 'violet', of: ({ arithmetic }) => arithmetic },
    ],
  },
  {
    title: 'Items that left',
    unit: 'items/s',
    format: perSecond,
    lines: [
      { name: 'evicted', color: 'orange', isArea: true, of: ({ evicted }) => evicted },
      { name: 'expired', color: 'teal', of: ({ expired }) => expired },
      { name: 'writes refused', color: 'violet', of: (history) => history.refused_writes },
    ],
  },
  {
    title: 'Memory',
    unit: '',
    format: bytes,
    base: 2,
    least: 1024,
    lines: [
      { name: 'items', color: 'blue', isArea: true, of: (history) => history.item_bytes },
      { name: 'index', color: 'violet', of: (history) => history.index_bytes },
    ],
  },
  {
    title: 'Connections',
    unit: '',
    format: perSecond,
    lines: [
      { name: 'open', color: 'blue', isArea: true, of: ({ connections }) => connections },
      { name: 'not logged in', color: 'orange', of: ({ strangers }) => strangers },
    ],
  },
  {
    title: 'Logins',
    unit: '1/s',
    format: perSecond,
    lines: [
      { name: 'succeeded', color: 'blue', isArea: true, of: ({ logins }) => logins },
      { name: 'failed', color: 'orange', of: (history) => history.failed_logins },
      { name: 'commands refused', color: 'violet', of: (history) => history.refused_commands },
    ],
  },
  {
    title: 'Network',
    unit: 'bytes/s',
    format: bytes,
    base: 2,
    least: 1024,
    lines: [
      { name: 'out', color: 'blue', isArea: true, of: (history) => history.bytes_out },
      { name: 'in', color: 'teal', of: (history) => history.bytes_in },
    ],
  },
  {
    title: 'CPU',
    unit: 'cores',
    format: perSecond,
    lines: [{ name: 'in use', color: 'blue', isArea: true, of: ({ cpu }) => cpu }],
  },
]

const element = (id) => document.getElementById(id)

const charts = CHARTS.map((options) => new Chart(options, pickEverywhere))
const latencies = new LatencyReadings()
const segments = new SegmentPicture(element('segments'), tellOfCell)

/** The last document, and the one before. */
let status
let before
let lostSinceMs
let isPaused = false
let timer

element('charts').append(...charts.map(({ root }) => root))

function pickEverywhere(index) {
  for (const chart of charts) chart.pick(index)
}

/** Of the last seconds of a series. */
function recent(points, intervalMs) {
  const last = points.slice(-Math.ceil((HEADLINE_SECONDS * 1000) / intervalMs))
  return last.length === 0 ? 0 : last.reduce((all, it) => all + it, 0) / last.length
}

function tile(name, value, more, picture, tone = '') {
  const root = document.createElement('div')
  root.className = `tile ${tone}`
  const term = document.createElement('dt')
  term.textContent = name
  const main = document.createElement('dd')
  main.className = 'value'
  main.textContent = value
  const detail = document.createElement('dd')
  detail.className = 'more'
  detail.textContent = more
  root.append(term, main, detail)
  if (picture !== undefined) root.append(picture)
  return root
}

function meter(share, tone = '') {
  const picture = svg('svg', {
    viewBox: '0 0 100 8',
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  })
  picture.classList.add('meter')
  const width = Math.min(Math.max(share, 0), 1) * 100
  picture.append(
    svg('rect', { class: 'rail', width: 100, height: 8 }),
    svg('rect', { class: `bar ${tone}`, width, height: 8 }),
  )
  return picture
}

function tiles({ metrics, history, interval_ms: intervalMs, ready, holds, segments: map }) {
  const now = (points) => recent(points, intervalMs)
  const hits = now(history.hits)
  const misses = now(history.misses)
  const { sets, deletes, touches, arithmetic } = history
  const requests = sum(history.hits, history.misses, sets, deletes, touches, arithmetic)
  const used = map.sums
    .filter(({ use }) => use !== 'free')
    .reduce((all, { segments: count }) => all + count, 0)
  const usedBytes = used * map.segment_bytes
  const { max_connections: placesMax, curr_connections: open } = metrics
  const isCrowded = open >= placesMax * 0.9
  return [
    ready
      ? tile('State', 'ready', `for ${duration(metrics.uptime)}`, undefined, 'good')
      : tile('State', 'not ready', holds.join(', '), undefined, 'bad'),
    tile(
      'Hit ratio',
      percent(ratio(hits, misses)),
      `${percent(ratio(metrics.get_hits, metrics.get_misses))} in all`,
      sparkline(
        history.hits.map((it, index) => ratio(it, history.misses[index])),
        'blue',
      ),
    ),
    tile(
      'Requests',
      `${amount(now(requests))}/s`,
      `${amount(hits + misses)} lookups, ${amount(now(sets))} sets`,
      sparkline(requests, 'blue'),
    ),
    tile(
      'Memory',
      percent(usedBytes / metrics.memory_bytes),
      `${bytes(usedBytes)} of ${bytes(metrics.memory_bytes)}`,
      meter(usedBytes / metrics.memory_bytes),
    ),
    tile(
      'Evictions',
      `${amount(now(history.evicted))}/s`,
      `${amount(metrics.evictions)} in all`,
      sparkline(history.evicted, 'orange'),
    ),
    tile(
      'Connections',
      whole(open),
      `of ${whole(placesMax)}, ${whole(metrics.unauthenticated_connections)} not logged in`,
      meter(open / placesMax, isCrowded ? 'warn' : ''),
      isCrowded ? 'warn' : '',
    ),
  ]
}

function showNotices(list) {
  // Made anew only if they differ: a screen reader says them once.
  const root = element('notices')
  const key = list.map(({ text, tone }) => `${tone} ${text}`).join('\n')
  if (root.dataset.key === key) return
  root.dataset.key = key
  root.replaceChildren(
    ...list.map(({ text, tone }) => {
      const notice = document.createElement('p')
      notice.className = `notice ${tone}`
      notice.textContent = text
      return notice
    }),
  )
}

function tellOfCell(cell) {
  const map = status.segments
  const text = element('segment-text')
  const every =
    map.segments_per_cell === 1
      ? `A cell is one segment of ${bytes(map.segment_bytes)}`
      : `A cell is ${map.segments_per_cell} segments of ${bytes(map.segment_bytes)}`
  if (cell === undefined) {
    text.textContent = `${every}, filled as far as its bytes are live.`
    return
  }
  const first = cell * map.segments_per_cell
  const use = map.uses[map.cells[cell]]
  const owner = status.namespaces[map.owners[cell]]?.name
  const name = map.segments_per_cell === 1 ? `Segment ${first}` : `Segments from ${first}`
  const parts = [name, USE_NAMES[use]]
  if (use !== 'free') parts.push(`${map.live_percents[cell]} % live`)
  if (use !== 'free' && status.namespaces.length > 1) parts.push(`namespace ${owner}`)
  text.textContent = parts.join(' · ')
}

function showSegments() {
  const map = status.segments
  segments.show(map)
  tellOfCell(segments.picked)
  const told = map.sums
    .filter(({ segments: count }) => count > 0)
    .map(({ use, segments: count }) => `${count} ${USE_NAMES[use]}`)
  element('segments').setAttribute('aria-label', `${map.segments} segments: ${told.join(', ')}`)
}

function showFacts({ facts, metrics }) {
  const parts = [
    facts.version,
    `Node ${facts.node}`,
    `${metrics.threads} ${metrics.threads === 1 ? 'thread' : 'threads'}`,
    `up ${duration(metrics.uptime)}`,
  ]
  if (!facts.evicts) parts.push('refuses writes when full (-M)')
  if (!facts.authentication) parts.push('NO AUTHENTICATION')
  element('facts').textContent = parts.join(' · ')
}

function show() {
  const { metrics, history, namespaces } = status
  element('main').hidden = false
  showFacts(status)
  showNotices(noticesOf(status, (points) => recent(points, status.interval_ms)))
  element('tiles').replaceChildren(...tiles(status))
  for (const [index, chart] of charts.entries()) {
    const { lines } = CHARTS[index]
    chart.show(
      lines.map(({ of }) => of(history)),
      SLOTS,
      status.interval_ms,
    )
  }
  showMemory(status)
  showSegments()
  latencies.show(status)
  fillTable('namespaces', namespaceColumns(status, before), namespaces, meter)
  if (status.users.length > 0) fillTable('users', userColumns(status, before), status.users)
  fillTable('logins', ['', 'in all'], loginRows(status))
  fillTable('throttled', ['who', 'kind', 'for another'], throttledRows(status))
  fillTable('requests', ['', 'in all'], requestRows(metrics))
  fillTable('connections', ['', ''], connectionRows(metrics))
  element('throttled-section').hidden = (status.throttled ?? []).length === 0
  element('users-section').hidden = status.users.length === 0
}

function showLink() {
  const root = document.body
  const text = element('link-text')
  if (isPaused) {
    root.dataset.link = 'paused'
    text.textContent = 'paused'
  } else if (lostSinceMs !== undefined) {
    root.dataset.link = 'lost'
    text.textContent = `no answer since ${clockTime(lostSinceMs)}`
  } else {
    root.dataset.link = 'live'
    text.textContent = 'live'
  }
  document.title =
    lostSinceMs !== undefined
      ? 'lost – saslcached'
      : `${status?.ready === false ? 'not ready' : 'ready'} – saslcached`
}

/** `what` is what became of the server since or at a moment. */
function lose(what, reason) {
  lostSinceMs ??= Date.now()
  const stale = status === undefined ? '' : ' What is shown below is from before.'
  const text = `The server ${what} ${clockTime(lostSinceMs)}: ${reason}.${stale}`
  showNotices([{ tone: 'bad', text }])
}

function reasonOf(code) {
  if (code === 401) return 'it wants another login, load the page again'
  if (code === 403) return 'this login may not see it any more'
  return `it answers with status ${code}`
}

async function poll() {
  try {
    const answer = await fetch(`${location.origin}/status.json`, {
      signal: AbortSignal.timeout(ANSWER_MS),
    })
    if (!answer.ok) lose('turned this page away at', reasonOf(answer.status))
    else {
      const next = await answer.json()
      // A server that was started again counts from the beginning.
      before = next.facts.run === status?.facts.run ? status : undefined
      status = next
      lostSinceMs = undefined
      show()
    }
  } catch {
    lose('has not answered since', 'it cannot be reached')
  }
  showLink()
  plan()
}

function plan() {
  clearTimeout(timer)
  if (!isPaused && !document.hidden) timer = setTimeout(poll, POLL_MS)
}

element('pause').addEventListener('click', () => {
  isPaused = !isPaused
  element('pause').setAttribute('aria-pressed', String(isPaused))
  element('pause').textContent = isPaused ? 'Go on' : 'Pause'
  showLink()
  plan()
})
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && !isPaused) poll()
})
let resizing
window.addEventListener('resize', () => {
  cancelAnimationFrame(resizing)
  resizing = requestAnimationFrame(() => status !== undefined && show())
})

poll()
