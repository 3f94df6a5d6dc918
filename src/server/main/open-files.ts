/**
 * What the limit of open files (ulimit -n) leaves for connections. It holds for the process as a whole: the
 * descriptors of its threads, of its files, and those of all connections count together.
 *
 * Invariant: as long as nobody else takes descriptors of this process, newcomers reach admission and are
 * weighed there. Where the system has none left, libuv accepts and closes whoever comes without telling us,
 * and then it is chance that says who gets in: so the limit has to be ours, and lower than the system's.
 */
import { closeSync, openSync } from 'node:fs'
import type { Config } from '../../config/config.ts'
import type { Say } from './say.ts'

/** Node and what a server has open beside its threads and listeners: log, audit, pid file, snapshot. */
const PROCESS_FILES = 28
/** An event loop has five, and one more while a file is read. */
const THREAD_FILES = 6
/** For those that are closed and not yet gone, files that are read again, and what libraries open. */
const SPARE_FILES = 24
/** A node of a cluster may name as many others. */
const NODES_PER_SEED = 2

/** What fewer connections than were asked for are shared out by: an eighth over HTTP, a quarter that waits. */
const HTTP_SHIFT = 3
const HELD_SHIFT = 2

const LOOK_MS = 1000
/** A lasting lack is told of this often. */
const SAY_AGAIN_MS = 60_000

/** How many this configuration needs to hold what it promises. */
export function openFilesNeeded(config: Config): number {
  const { connectionsMax, heldConnectionsMax, httpConnectionsMax } = config.limits
  return ownFiles(config) + connectionsMax + heldConnectionsMax + httpConnectionsMax
}

/** The configuration that holds where only `openFiles` may be open; undefined: that is not known. */
export function withinOpenFiles(config: Config, openFiles: number | undefined): Config {
  if (openFiles === undefined || openFiles >= openFilesNeeded(config)) return config
  const { limits } = config
  const left = Math.max(1, openFiles - ownFiles(config))
  const httpShare = Math.min(limits.httpConnectionsMax, left >>> HTTP_SHIFT)
  const heldShare = Math.min(limits.heldConnectionsMax, left >>> HELD_SHIFT)
  const connectionsMax = Math.min(limits.connectionsMax, left - httpShare - heldShare)
  const heldMax = left - connectionsMax - httpShare
  const heldConnectionsMax = Math.min(limits.heldConnectionsMax, heldMax)
  const httpMax = Math.max(1, left - connectionsMax - heldConnectionsMax)
  const strangersShare = limits.unauthenticatedConnectionsMax / limits.connectionsMax
  return {
    ...config,
    limits: {
      ...limits,
      connectionsMax,
      heldConnectionsMax,
      httpConnectionsMax: Math.min(limits.httpConnectionsMax, httpMax),
      // Strangers keep the share that they were given.
      unauthenticatedConnectionsMax: Math.max(1, Math.floor(connectionsMax * strangersShare)),
    },
  }
}

function ownFiles({ process, network, http, snapshot, store }: Config): number {
  const threads = process.threads + (snapshot === undefined ? 0 : 1)
  const listeners =
    network.listen.length +
    network.identitySockets.length +
    network.passed.length +
    (http === undefined ? 0 : http.listen.length + http.sockets.length)
  const remote =
    store === undefined
      ? 0
      : process.threads * store.connections * store.nodes.length * NODES_PER_SEED
  return PROCESS_FILES + SPARE_FILES + threads * THREAD_FILES + listeners + remote
}

/** Tells the log while no file can be opened, whoever has them. Returns what ends that. */
export function watchOpenFiles(
  clock: { nowMs(): number; every(periodMs: number, run: () => void): () => void },
  say: Say,
  tryToOpen: () => void = openAndClose,
): () => void {
  let saidMs = Number.NEGATIVE_INFINITY
  return clock.every(LOOK_MS, () => {
    const code = shortageOf(tryToOpen)
    if (code === undefined || clock.nowMs() - saidMs < SAY_AGAIN_MS) return
    saidMs = clock.nowMs()
    say(
      'error',
      'accept_failed',
      'no more files can be opened: newcomers are disconnected unseen, and nothing is read again ' +
        '(allow more with ulimit -n, or lower -c)',
      { code },
    )
  })
}

function shortageOf(tryToOpen: () => void): string | undefined {
  try {
    tryToOpen()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EMFILE' || code === 'ENFILE') return code
  }
  return undefined
}

function openAndClose(): void {
  closeSync(openSync('/', 'r'))
}
