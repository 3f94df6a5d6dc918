/**
 * Finds the server that runs here, for a health check that was not told where to look: how it was
 * started is read from the system's list of processes, not from a file of its own, because the kernel
 * says whose a process is, a read-only root has no place for files, and nothing stale is left behind.
 *
 * A server is a process that runs this very program, and
 * - is process 1, as in a container, or
 * - belongs to the user who asks and was started with the same variables of ours: what they would
 *   configure is what is asked about.
 * Other users cannot have theirs taken for ours. Where there are several that differ, none is. Variables that
 * mean nothing to a server are not compared: whoever asks servers has them exported.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CLIENT_PROFILE_VARIABLE, CLIENT_SERVER_VARIABLE } from '../../config/environment.ts'

export interface RunningServer {
  /** Behind the program's name. */
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Where it was started. */
  readonly directory: string
}

/** A server runs here that has other variables than who asks: their names. */
export interface OtherVariables {
  readonly differing: readonly string[]
}

const INIT = 1
/** Variables that configure a server. */
const OURS = /^(SASLCACHED|MEMCACHED)_/
const OF_CLIENTS: readonly string[] = [CLIENT_SERVER_VARIABLE, CLIENT_PROFILE_VARIABLE]

/** 'several': they differ, and none is it. `isServer` tells from arguments whether they start a server; `processes` is a folder like /proc. */
export function findServer(
  program: string,
  environment: RunningServer['environment'],
  isServer: (argv: readonly string[]) => boolean,
  processes = '/proc',
): RunningServer | 'several' | OtherVariables | undefined {
  const programPath = realPath(program)
  if (programPath === undefined) return undefined
  const found: RunningServer[] = []
  const differing = new Set<string>()
  for (const pid of processIds(processes)) {
    const server = readServer(join(processes, String(pid)), programPath)
    if (server === undefined || pid === process.pid || !isServer(server.argv)) continue
    // Who may not read the environment of process 1 was given the same, by whoever made the container.
    if (pid === INIT) return { ...server, environment: server.environment ?? environment }
    const isOurs = userOf(join(processes, String(pid))) === process.geteuid?.()
    if (server.environment === undefined || !isOurs) continue
    const names = differingVariables(server.environment, environment)
    if (names.length === 0) found.push({ ...server, environment: server.environment })
    for (const name of names) differing.add(name)
  }
  const [first] = found
  if (first === undefined && differing.size > 0) return { differing: [...differing].sort() }
  return found.every(({ argv }) => String(argv) === String(first?.argv)) ? first : 'several'
}

function processIds(processes: string): number[] {
  try {
    return readdirSync(processes)
      .filter((name) => /^[1-9]\d*$/.test(name))
      .map(Number)
      .sort((one, other) => one - other)
  } catch {
    return []
  }
}

type StartedProgram = Omit<RunningServer, 'environment'> & {
  readonly environment: RunningServer['environment'] | undefined
}

/** Undefined for other programs, and for what has ended meanwhile. */
function readServer(folder: string, programPath: string): StartedProgram | undefined {
  const words = readWords(join(folder, 'cmdline'))
  // The first word is node, then come options of node.
  const candidates = words?.findIndex((word, index) => index > 0 && /saslcached(\.js)?$/.test(word))
  if (words === undefined || candidates === undefined || candidates < 0) return undefined
  let directory = process.cwd()
  try {
    directory = readlinkSync(join(folder, 'cwd'))
  } catch {
    // Not ours to see, as after -u; started where we are, then, as in a container.
  }
  if (realPath(resolve(directory, words[candidates] ?? '')) !== programPath) return undefined
  const variables = readWords(join(folder, 'environ'))
  return {
    argv: words.slice(candidates + 1),
    directory,
    environment:
      variables === undefined
        ? undefined
        : Object.fromEntries(
            variables.map((text) => {
              const end = text.indexOf('=')
              return [text.slice(0, end), text.slice(end + 1)]
            }),
          ),
  }
}

/** Texts that end in NUL; undefined where they cannot be read. */
function readWords(file: string): string[] | undefined {
  try {
    return readFileSync(file, 'utf8').split('\0').slice(0, -1)
  } catch {
    return undefined
  }
}

/** The effective one. */
function userOf(folder: string): number | undefined {
  try {
    const id = /^Uid:\s+\d+\s+(\d+)/m.exec(readFileSync(join(folder, 'status'), 'utf8'))?.[1]
    return id === undefined ? undefined : Number(id)
  } catch {
    return undefined
  }
}

function differingVariables(
  one: RunningServer['environment'],
  other: RunningServer['environment'],
): string[] {
  return Object.keys({ ...one, ...other }).filter(
    (name) => OURS.test(name) && !OF_CLIENTS.includes(name) && one[name] !== other[name],
  )
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}
