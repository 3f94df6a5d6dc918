/**
 * One worker thread: its own event loop, its share of the connections, and its view of what all
 * workers share: the listening sockets, the store, the counters, the worker table. It owns no files and no
 * signals; what it wants written to the log it posts to the main thread.
 *
 * An exception here is a programmer error and may have left a lock held: it is not caught, the
 * thread dies, and the main thread takes the process down (exit code 70).
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { Clock } from '../../base/clock.ts'
import { Commands } from '../../command/commands.ts'
import { ItemDump } from '../../command/dump.ts'
import { Executor } from '../../command/execute.ts'
import { secondsSinceOldestUse } from '../../command/item-age.ts'
import { ItemSizes } from '../../command/item-sizes.ts'
import { MetaExecutor } from '../../command/meta.ts'
import {
  type ConnectionFacts,
  type ConnectionSource,
  type StatRows,
  Stats,
} from '../../command/stats.ts'
import { Witness } from '../../command/witness.ts'
import { AuthGate, type AuthGateOptions } from '../../connection/auth-gate.ts'
import { BinaryDialect, type DialectOptions } from '../../connection/binary-dialect.ts'
import {
  Connection,
  type ConnectionContext,
  type Dialect,
  STATE_NAMES,
} from '../../connection/connection.ts'
import { ReplyMemory } from '../../connection/reply-memory.ts'
import { SendBuffer } from '../../connection/send-buffer.ts'
import { TextDialect } from '../../connection/text-dialect.ts'
import { Watchers } from '../../connection/watchers.ts'
import { loadTables } from '../../credential/prepare.ts'
import type { CredentialSnapshot } from '../../credential/snapshot.ts'
import { COUNTER, counterLane, sumCounter } from '../../observe/counters.ts'
import type { LogEvent, LogLevel } from '../../observe/log.ts'
import { PrefixTable } from '../../observe/prefix-table.ts'
import { CONNECTION_CLOSE, CONNECTION_NEW } from '../../observe/watch-line.ts'
import { WatchLog } from '../../observe/watch-log.ts'
import { WATCH_CONNEVENTS } from '../../observe/watch-memory.ts'
import { MAGIC_REQUEST } from '../../protocol/binary/wire.ts'
import { createSaslEnvironment } from '../../sasl/environment.ts'
import { memoryLimitOf } from '../../storage/counters.ts'
import { Store } from '../../storage/store.ts'
import { AcceptQueue } from '../admission/accept-queue.ts'
import { Admission } from '../admission/admission.ts'
import { WorkerTable } from '../admission/worker-table.ts'
import { HandleWriter } from '../net/handle-writer.ts'
import { ListenError } from '../net/listen-error.ts'
import { Listener } from '../net/listener.ts'
import type { Newcomer } from '../net/newcomer.ts'
import { READ_BUFFER_BYTES } from '../net/socket-transport.ts'
import { type ConnectionRow, ConnectionTable, NO_ROW } from './connection-table.ts'
import { DeadlineWalk } from './deadline-walk.ts'
import { LOGIN_COUNTERS, loginCounters } from './login-counters.ts'
import { LoginLog } from './login-log.ts'
import type { FromWorker, ToWorker, WorkerSettings } from './worker-messages.ts'

const MEBIBYTE = 1024 * 1024

/** Period of the one timer behind all deadlines. */
const TICK_MS = 100
/** How long those who gave their turn away are gone on with before others are read from again. */
const ROUND_MS_MAX = 4
/** Period at which watchers are sent the events of other workers; their own come with the turns. */
const WATCH_MS = 10
/** Expired items dropped per tick at most: a millisecond's work, and 20,000 items a second. */
const MAINTENANCE_BUDGET = 2000
/**
 * What unfinished requests of clients that are logged in hold in the process, or twice the largest item
 * if that is more.
 */
const UNFINISHED_BYTES_MAX = 64 * MEBIBYTE
/** What all others hold of theirs, or four times the largest request before login if that is more. */
const STRANGER_BYTES_MAX = 32 * MEBIBYTE
/** What unread replies hold in the process, or two of the largest items for each worker. */
const REPLY_BYTES_MAX = 64 * MEBIBYTE
/** The log says so often at most that replies were refused for want of memory. */
const REPLY_REPORT_MS = 10_000
/** The login deadline while others wait for their turn. */
const CROWDED_LOGIN_TIMEOUT_MS = 1000
const LINGER_MS = 1000
/** When the server stops, clients get less time to close first. */
const STOPPING_LINGER_MS = 200

const TOO_MANY_CONNECTIONS = Buffer.from('ERROR Too many open connections\r\n')

assert(parentPort !== null, 'worker.ts runs as a worker thread')
const main = parentPort
const settings = workerData as WorkerSettings

function post(message: FromWorker): void {
  main.postMessage(message)
}

const SEVERITY: Readonly<Record<LogLevel, number>> = {
  trace: 0,
  debug: 1,
  info: 2,
  warn: 3,
  error: 4,
  fatal: 5,
}
let logLevel = settings.logLevel

/** Lines of detail a second; whoever connects a thousand times must not fill a disk with them. */
const DETAIL_LINES_PER_SECOND = Math.ceil(200 / settings.threadCount)
let detailSecond = 0
let detailCount = 0

function log(event: LogEvent): void {
  if (SEVERITY[event.level] < SEVERITY[logLevel]) return
  if (SEVERITY[event.level] < SEVERITY.info) {
    const second = Math.floor(context.nowMs / 1000)
    if (second !== detailSecond) {
      const leftOut = detailCount - DETAIL_LINES_PER_SECOND
      detailSecond = second
      detailCount = 0
      if (leftOut > 0) {
        post({
          kind: 'log',
          event: {
            level: 'info',
            event: 'detail_left_out',
            message: 'there were more lines of detail in a second than are written',
            fields: { left_out: leftOut },
          },
        })
      }
    }
    if (++detailCount > DETAIL_LINES_PER_SECOND) return
  }
  post({ kind: 'log', event })
}

const clock = Clock.ofThread(settings.clock)
const lane = counterLane(settings.counters, settings.workerIndex)
const sendBuffer = new SendBuffer()
const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
const handleWriter = new HandleWriter(() => post({ kind: 'without', internal: 'write' }))
const store = new Store(settings.store, settings.workerIndex)
const watchLog = new WatchLog(settings.watch, settings.workerIndex, lane, () =>
  Math.round(clock.epochMs(performance.now()) * 1000),
)
const prefixes = new PrefixTable(settings.prefixes, watchLog.observed)
const witness = new Witness(store, watchLog, prefixes, () => watchers.drain())
store.witnessEvictions(witness)
const executor = new Executor(store, lane, witness, {
  flushEnabled: settings.flushEnabled,
  casEnabled: settings.casEnabled,
})
if (settings.auth !== undefined) loadTables()
const sasl =
  settings.auth === undefined
    ? undefined
    : createSaslEnvironment({
        snapshot: settings.auth.credentials,
        mechanisms: settings.auth.mechanisms,
        derivationsMax: settings.auth.keyDerivationsMax,
        derivationQueueMax: settings.auth.derivationQueueMax,
        monotonicMs: () => performance.now(),
        counters: loginCounters(lane),
      })
const loginLog = new LoginLog(log, settings.threadCount)
const gateOptions: AuthGateOptions = {
  sasl,
  loginAttemptsMax: settings.loginAttemptsMax,
  lane,
  onLogin: (event) => loginLog.record(event, context.nowMs),
}

const workerTable = new WorkerTable(settings.workerTable, settings.workerIndex)
let isStopping = false
let cutCount = 0

const connectionTable = new ConnectionTable(settings.connectionTable)
/** Where each of our connections stands in the table. */
const rowOf = new Map<Connection, number>()
const connectionIn = new Map<number, Connection>()

function serve(newcomer: Newcomer): Connection {
  const peer = newcomer.peer.text
  const transport = newcomer.open()
  const gate = new AuthGate(gateOptions, transport)
  const connection = new Connection(context, transport, gate, workerTable.nextConnectionId())
  const row = connectionTable.add({
    id: connection.id,
    state: STATE_NAMES.indexOf(connection.stateName),
    activitySeconds: activitySeconds(connection),
    socketIndex: newcomer.channel.listenerIndex,
    peer,
  })
  rowOf.set(connection, row)
  if (row !== NO_ROW) connectionIn.set(row, connection)
  tellConnection(connection, CONNECTION_NEW)
  log({ level: 'debug', event: 'connected', message: 'client connected', fields: { peer } })
  transport.attach(connection)
  return connection
}

/** To those who watch connections. */
function tellConnection(connection: Connection, command: number): void {
  if (!watchLog.isWatched(WATCH_CONNEVENTS)) return
  const { record } = watchLog
  record.kind = WATCH_CONNEVENTS
  record.connectionId = connection.id
  record.command = command
  record.status = connection.closeReason
  const peer = Buffer.from(connection.transport.peer.text, 'latin1')
  watchLog.write(peer, 0, peer.length)
}

let watchTimer: NodeJS.Timeout | undefined
const watchers = new Watchers({
  log: watchLog,
  lane,
  bufferBytesMax: settings.watcherBufferBytesMax,
  onActiveChanged: (isActive) => {
    clearInterval(watchTimer)
    if (isActive) watchTimer = setInterval(() => watchers.drain(), WATCH_MS)
  },
})

const admission = new Admission({
  connectionsMax: settings.connectionsMax,
  strangersMax:
    sasl === undefined ? Number.POSITIVE_INFINITY : settings.unauthenticatedConnectionsMax,
  waitMs: settings.loginTimeoutMs,
  workerTable,
  lane,
  serve,
  turnAway: (_, reason) => acceptQueue.turnedAway(reason),
  onCrowd: (source, count, total) =>
    log({
      level: 'warn',
      event: 'full_of_strangers',
      message: 'the server is full of connections that have not logged in',
      fields: { total, most_from: source, from_there: count },
    }),
})

const acceptQueue = new AcceptQueue({
  heldMax: settings.heldConnectionsMax,
  workerTable,
  lane,
  admit: (newcomer) => admission.accept(newcomer, context.nowMs),
  refuse: (newcomer) => newcomer.refuse(TOO_MANY_CONNECTIONS),
  monotonicMs: () => performance.now(),
})

const sizes = new ItemSizes(store, watchLog.observed, settings.casEnabled)
const stats = new Stats({
  version: settings.version,
  uptimeSeconds: () => clock.uptimeSeconds(performance.now()),
  epochSeconds: () => clock.epochSeconds(performance.now()),
  connectionsMax: settings.connectionsMax,
  threadCount: settings.threadCount,
  settings: settingsNow,
  store: settings.store,
  counters: settings.counters,
  zeros: settings.zeros,
  connections: listConnections,
  sizes,
  itemAge: () => secondsSinceOldestUse(store, executor.nowSeconds),
  prefixes,
  dumpEnabled: settings.dumpEnabled,
  isAccepting: () => !isStopping && !acceptQueue.isFull,
  auth: loginRows,
  showsLruMaintainer: settings.showsLruMaintainer,
})

/** What a client has made of the verbosity, if any has. */
let verbosity: string | undefined

/** The settings of the start, with what has been changed since, and the port that was found. */
function settingsNow(): StatRows {
  const tcpPort = settings.sockets.find(({ address }) => address.family !== 'unix')?.address.port
  return settings.settingsRows.map(([name, value]) => {
    if (name === 'maxbytes') return [name, String(memoryLimitOf(settings.store))]
    if (name === 'verbosity') return [name, verbosity ?? value]
    if (name === 'tcpport') return [name, String(tcpPort ?? 0)]
    if (name === 'detail_enabled') return [name, prefixes.isEnabled ? 'yes' : 'no']
    if (name === 'track_sizes') return [name, sizes.isEnabled ? 'yes' : 'no']
    return [name, value]
  })
}

function loginRows(): StatRows {
  if (sasl === undefined) return []
  return [
    ...LOGIN_COUNTERS.map((name) => [name, String(sumCounter(settings.counters, name))] as const),
    ['mechanisms', sasl.announced()],
  ]
}

/** The listening sockets, then the connections. */
function listConnections(): ConnectionSource {
  const walk = connectionTable.walk((row) => {
    const connection = connectionIn.get(row)
    if (connection !== undefined) publish(connection, row)
  })
  let sockets: readonly ConnectionFacts[] | undefined = listSockets()
  return {
    next() {
      const facts = sockets ?? walk.next()?.map(factsOf)
      sockets = undefined
      return facts
    },
  }
}

function listSockets(): readonly ConnectionFacts[] {
  return settings.sockets.map(({ address }, index) => {
    const name = statsAddress(address.text)
    return {
      id: index + 1,
      peer: name,
      listenAddress: name,
      state: 'conn_listening',
      idleSeconds: clock.uptimeSeconds(performance.now()),
    }
  })
}

function factsOf(row: ConnectionRow): ConnectionFacts {
  return {
    id: row.id,
    peer: statsAddress(row.peer),
    listenAddress: statsAddress(settings.sockets[row.socketIndex]?.address.text ?? ''),
    state: STATE_NAMES[row.state] ?? '',
    idleSeconds: Math.max(0, clock.epochSeconds(performance.now()) - row.activitySeconds),
  }
}

/** Brings our rows of the table up to date, for the other workers. */
function publishConnections(): void {
  for (const [row, connection] of connectionIn) publish(connection, row)
}

function publish(connection: Connection, row: number): void {
  connectionTable.update(
    row,
    STATE_NAMES.indexOf(connection.stateName),
    activitySeconds(connection),
  )
}

/** When a client was last heard of, on the clock that all workers share. */
function activitySeconds(connection: Connection): number {
  return clock.epochSeconds(connection.lastActivityMs)
}

/** An address in the words of `stats conns`: `tcp:`, `tcp6:` or `unix:` in front. */
function statsAddress(address: string): string {
  if (settings.sockets[0]?.address.family === 'unix') {
    return address === 'unix' ? address : `unix:${address}`
  }
  return address.startsWith('[') ? `tcp6:${address}` : `tcp:${address}`
}

/** Posted by the next tick: a client that asks all the time must not flood the main thread. */
let wantedVerbosity: number | undefined

const dialectOptions: DialectOptions = {
  valueBytesMax: settings.valueBytesMax,
  saslBytesMax: settings.saslBytesMax,
  requestsPerTurnMax: settings.requestsPerTurnMax,
  version: settings.version,
  stats: (group) => stats.group(group),
  setVerbosity: (level) => {
    wantedVerbosity = level
  },
}
const meta = new MetaExecutor(executor, store, lane, settings.casEnabled)
const commands = new Commands(executor, meta)
const replyMemory = new ReplyMemory({
  lane,
  bytesMax: Math.max(REPLY_BYTES_MAX, 2 * settings.threadCount * settings.valueBytesMax),
  heldByAll: () => sumCounter(settings.counters, 'unread_reply_bytes'),
})
const binary = new BinaryDialect(commands, sendBuffer, lane, replyMemory, dialectOptions)
const text = new TextDialect(commands, sendBuffer, lane, replyMemory, {
  ...dialectOptions,
  operations: {
    shutdownEnabled: settings.shutdownEnabled,
    watchEnabled: settings.watchEnabled,
    prefixes,
    sizes,
    watchers,
    dumpEnabled: settings.dumpEnabled,
    setMemoryLimit: (mib) => store.setMemoryLimit(mib * MEBIBYTE),
    dump: (form) => new ItemDump(store, form),
    shutdown: () => post({ kind: 'shutdown' }),
  },
})

let deferred: Connection[] = []
const unfinishedBytesMax = Math.max(UNFINISHED_BYTES_MAX, 2 * settings.valueBytesMax)
const strangerBytesMax = Math.max(STRANGER_BYTES_MAX, 4 * settings.saslBytesMax)

const context: ConnectionContext = {
  limits: {
    loginTimeoutMs: settings.loginTimeoutMs,
    crowdedLoginTimeoutMs: Math.min(CROWDED_LOGIN_TIMEOUT_MS, settings.loginTimeoutMs),
    idleTimeoutMs: settings.idleTimeoutMs,
    stalledWriteTimeoutMs: settings.stalledWriteTimeoutMs,
    sendBufferBytesMax: settings.sendBufferBytesMax,
  },
  lane,
  sendBuffer,
  nowMs: performance.now(),
  isCrowded: false,
  isStopping: false,
  lingerMs: LINGER_MS,
  replyMemory,
  hasRoomFor(bytes, isLoggedIn) {
    const strangerBytes = sumCounter(settings.counters, 'unauthenticated_buf_bytes')
    if (!isLoggedIn) return strangerBytes + bytes <= strangerBytesMax
    const allBytes = sumCounter(settings.counters, 'read_buf_bytes')
    return allBytes - strangerBytes + bytes <= unfinishedBytesMax
  },
  detect(firstByte): Dialect {
    if (settings.protocol !== 'auto') return settings.protocol === 'binary' ? binary : text
    return firstByte === MAGIC_REQUEST ? binary : text
  },
  defer(connection) {
    if (deferred.length === 0) setImmediate(runDeferred)
    deferred.push(connection)
  },
  onGateChanged(connection) {
    admission.gateChanged(connection, context.nowMs)
  },
  onClosed(connection) {
    log({
      level: 'debug',
      event: 'disconnected',
      message: 'client disconnected',
      fields: { peer: connection.transport.peer.text },
    })
    watchers.remove(connection)
    tellConnection(connection, CONNECTION_CLOSE)
    const row = rowOf.get(connection) ?? NO_ROW
    rowOf.delete(connection)
    connectionIn.delete(row)
    connectionTable.remove(row)
    admission.closed(connection, context.nowMs)
    acceptQueue.letIn()
    if (isStopping) finishWhenEmpty()
    else if (isPassing) balance()
  },
}

/**
 * Goes on with those who gave their turn away; whoever does so again waits for the next round. A round
 * ends after ROUND_MS_MAX, so that what arrives meanwhile is read; who is left is first in the next.
 */
function runDeferred(): void {
  const endMs = performance.now() + ROUND_MS_MAX
  const round = deferred
  deferred = []
  let served = 0
  do round[served++]!.continueServing()
  while (served < round.length && performance.now() < endMs)
  if (served === round.length) return
  if (deferred.length === 0) setImmediate(runDeferred)
  deferred = [...round.slice(served), ...deferred]
}

/** Expiries have whole seconds: a clock that moves with the tick is exact enough for them. */
function readClock(): void {
  context.nowMs = performance.now()
  executor.nowSeconds = clock.epochSeconds(context.nowMs)
  witness.nowSeconds = executor.nowSeconds
}

function tick(): void {
  readClock()
  context.isCrowded = workerTable.isCrowded
  deadlines.begin()
  admission.checkDeadlines(context.nowMs)
  acceptQueue.settleWithOthers()
  acceptQueue.letIn()
  if (workerTable.hasOthers) publishConnections()
  loginLog.rollOver(context.nowMs)
  reportUnreadReplies()
  store.maintain(executor.nowSeconds, MAINTENANCE_BUDGET)
  workerTable.beat()
  balance()
  if (wantedVerbosity === undefined) return
  post({ kind: 'verbosity', level: wantedVerbosity })
  wantedVerbosity = undefined
}

let replyRefusalsSeen = 0
let replyReportMs = Number.NEGATIVE_INFINITY

function reportUnreadReplies(): void {
  const refusals = lane[COUNTER.unread_reply_oom]!
  if (refusals === replyRefusalsSeen || context.nowMs - replyReportMs < REPLY_REPORT_MS) return
  log({
    level: 'warn',
    event: 'unread_replies',
    message:
      'clients do not read what they asked for: replies were refused, or readers cut, for want of memory',
    fields: { replies: refusals - replyRefusalsSeen },
  })
  replyRefusalsSeen = refusals
  replyReportMs = context.nowMs
}

const listener = new Listener({
  backlog: settings.backlog,
  parts: { readBuffer, sendBufferBytesMax: settings.sendBufferBytesMax, writer: handleWriter },
  onAccept: (newcomer) => {
    context.nowMs = performance.now()
    if (isStopping) {
      newcomer.close()
      return
    }
    acceptQueue.arrive(newcomer)
    balance()
    if (!workerTable.hasOthers || isPassing || isHeld) return
    workerTable.awaitOthers(context.nowMs)
    isPassing = workerTable.handOver()
    if (isPassing) listener.pause()
  },
  onAcceptError: (code) =>
    log({
      level: 'error',
      event: 'accept_failed',
      message: 'a connection could not be accepted (raise the limit of open files: ulimit -n)',
      fields: { code },
    }),
  onUnsupported: () => post({ kind: 'without', internal: 'accept' }),
})
/** Newcomers are left to workers that have fewer connections. */
let isPassing = false
/** The main thread lets nobody in for now. */
let isHeld = false

function balance(): void {
  if (isStopping || isHeld || !workerTable.hasOthers) return
  isPassing = !workerTable.balance()
  if (isPassing) listener.pause()
  else listener.resume()
}

function settleWithOthers(): void {
  if (isStopping) return
  context.nowMs = performance.now()
  admission.settleWithOthers(context.nowMs)
  acceptQueue.settleWithOthers()
  balance()
}

async function listen(): Promise<void> {
  try {
    for (const [index, socket] of settings.sockets.entries()) await listener.listen(socket, index)
  } catch (error) {
    if (!(error instanceof ListenError)) throw error
    post({ kind: 'refused', message: error.message })
    return
  }
  if (workerTable.hasOthers) workerTable.onWakeUp(settleWithOthers)
  post({ kind: 'listening' })
}

function stop(deadlineMs: number): void {
  if (isStopping) return
  isStopping = true
  context.isStopping = true
  context.lingerMs = STOPPING_LINGER_MS
  workerTable.retire()
  listener.pause()
  post({ kind: 'accepts-no-more' })
  acceptQueue.dismiss()
  admission.dismissWaiting()
  for (const connection of [...admission.connections]) connection.stop()
  setTimeout(() => {
    cutCount = admission.connections.size
    for (const connection of [...admission.connections]) connection.close()
  }, deadlineMs).unref()
  finishWhenEmpty()
}

let isFinished = false

function finishWhenEmpty(): void {
  if (isFinished || admission.connections.size > 0) return
  isFinished = true
  clearInterval(ticker)
  post({ kind: 'stopped', cutCount })
}

/** Takes other users. Who is logged in as one that is there no more is cut off. */
function replaceCredentials(credentials: CredentialSnapshot): void {
  if (sasl === undefined) return
  sasl.replaceCredentials(credentials)
  const removed = [...admission.connections].filter(
    ({ gate }) => gate.principal !== undefined && !sasl.credentials.has(gate.principal.name),
  )
  for (const connection of removed) connection.drain()
  if (removed.length === 0) return
  log({
    level: 'warn',
    event: 'removed_users_cut',
    message: 'connections of users that were removed are closed',
    fields: { connections: removed.length },
  })
}

main.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'credentials':
      replaceCredentials(message.credentials)
      post({ kind: 'credentials-in-force', reloadId: message.reloadId })
      break
    case 'accept':
      isHeld = !message.accepts
      if (isHeld) listener.pause()
      else if (!isStopping) listener.resume()
      break
    case 'log-level':
      logLevel = message.level
      verbosity = String(message.verbosity)
      break
    case 'stop':
      stop(message.deadlineMs)
      break
  }
})

const deadlines = new DeadlineWalk(admission.connections, setImmediate)
const ticker = setInterval(tick, TICK_MS)
readClock()
void listen()
