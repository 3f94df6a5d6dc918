/**
 * The machine as the figures depend on it: which cores there are, what pins a process to one, and
 * who else used them while a round ran. Linux only, like the generator.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { outputOf } from './servers.mjs'

/** @returns {number[]} the cores this process may use; `0-2,5` is [0, 1, 2, 5] */
function allowedCores() {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return (list ?? '0').split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}

/**
 * Which cores the server and the generator get. The generator has the last one; the server has as
 * many of the others as it has threads. Where there are too few cores for that, or the case wants all
 * cores for the server, nobody is pinned and `cores` are all.
 *
 * @param {number} threads
 * @param {boolean} isPinned
 */
export function placement(threads, isPinned) {
  const cores = allowedCores()
  const canPin = isPinned && outputOf('taskset', '--version') !== null && cores.length > threads
  if (!canPin) return { isPinned: false, cores, generatorCore: null, server: [], generator: [] }
  const serverCores = cores.slice(0, threads)
  const generatorCore = cores[cores.length - 1]
  return {
    isPinned: true,
    cores: serverCores,
    generatorCore,
    server: ['taskset', '-c', serverCores.join(',')],
    generator: ['taskset', '-c', String(generatorCore)],
  }
}

export function machineText() {
  const cores = cpus()
  const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()
  return `${cores[0]?.model ?? 'unknown processor'}, ${cores.length} cores, Linux ${kernel}`
}

/** Busy and stolen ticks of the named cores so far. */
export function coreTicks(cores) {
  const ticks = { busy: 0, stolen: 0 }
  for (const line of readFileSync('/proc/stat', 'utf8').split('\n')) {
    const core = /^cpu(\d+) /.exec(line)?.[1]
    if (core === undefined || !cores.includes(Number(core))) continue
    const [user, nice, system, , , irq, softirq, steal] = line.split(/\s+/).slice(1).map(Number)
    ticks.busy += user + nice + system + irq + softirq
    ticks.stolen += steal
  }
  return ticks
}

/** Ticks of CPU that a process has used so far, all threads. */
export function processTicks(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** Nanoseconds of CPU that each thread of a process has used so far, by its number. */
export function threadTimes(pid) {
  const timeOf = (thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0])
  return new Map(readdirSync(`/proc/${pid}/task`).map((thread) => [thread, timeOf(thread)]))
}

/** The number of the thread that has used most since `before` (threadTimes). */
export function busiestThread(pid, before) {
  const grown = [...threadTimes(pid)].map(([thread, ns]) => [
    thread,
    ns - (before.get(thread) ?? 0),
  ])
  return Number(grown.sort((one, other) => other[1] - one[1])[0][0])
}

/** Resident memory of a process, in MiB. */
export function residentMib(pid) {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}
