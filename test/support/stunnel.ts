/**
 * stunnel as the client's end of TLS: for clients that have none of their own, as docs/clients.md shows.
 * One process; each service listens on a port of this machine that the system picks.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inheritedEnvironment, type Prerequisite } from './program.ts'

/** Where its services listen. */
export const STUNNEL_HOST: string = '127.0.0.1'
const DEADLINE_MS = 60_000

export const STUNNEL: Prerequisite = {
  packages: 'stunnel4',
  probe: ['sh', '-c', 'command -v stunnel'],
}

export interface StunnelService {
  readonly host: string
  readonly port: number
  /** Who must have signed for the server. */
  readonly caFile: string
  /** The client's own certificate and its key. */
  readonly pair?: { readonly certificateFile: string; readonly keyFile: string } | undefined
}

export class Stunnel<Name extends string> {
  private readonly ports: Map<string, number>
  private readonly child: ChildProcess
  private readonly folder: string
  private log = ''

  private constructor(services: Readonly<Record<Name, StunnelService>>) {
    this.folder = mkdtempSync(join(tmpdir(), 'saslcached-stunnel-'))
    this.ports = new Map()
    const file = join(this.folder, 'stunnel.conf')
    writeFileSync(file, configuration(services))
    this.child = spawn('stunnel', [file], {
      env: inheritedEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  }

  static async start<Name extends string>(
    services: Readonly<Record<Name, StunnelService>>,
  ): Promise<Stunnel<Name>> {
    const stunnel = new Stunnel(services)
    await stunnel.listening(Object.keys(services).length)
    return stunnel
  }

  /** Where the clients of a service connect. */
  portOf(name: Name): number {
    const port = this.ports.get(name)
    if (port === undefined) throw new Error(`stunnel has no service ${name}:\n${this.log}`)
    return port
  }

  /** Why it let a service's connections down, so far. */
  private complaints(name: Name): string {
    // A line of a connection names no service, but the number that the line of its accept has, too.
    const accepted = new RegExp(`LOG\\d\\[(\\d+)\\]: Service \\[${name}\\] accepted`, 'g')
    const connections = new Set([...this.log.matchAll(accepted)].map(([, id]) => id))
    const lines = [...this.log.matchAll(/LOG[345]\[(\d+)\]: (.*)/g)]
    return lines.flatMap(([, id, text]) => (connections.has(id) ? [text] : [])).join('\n')
  }

  /** The log may lag behind what a client sees. */
  async waitForComplaint(name: Name, why: RegExp): Promise<void> {
    const { stderr } = this.child
    const signal = AbortSignal.timeout(DEADLINE_MS)
    while (!why.test(this.complaints(name))) {
      if (stderr === null) throw new Error('stunnel has no log')
      await once(stderr, 'data', { signal }).catch((cause: unknown) => {
        throw new Error(`stunnel did not say ${why}:\n${this.log}`, { cause })
      })
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const closed = once(this.child, 'close')
      this.child.kill('SIGKILL')
      await closed
    }
    rmSync(this.folder, { recursive: true, force: true })
  }

  private async listening(count: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => {
        this.child.kill('SIGKILL')
        reject(new Error(`stunnel ${why}:\n${this.log}`))
      }
      const timer = setTimeout(() => fail('did not listen in time'), DEADLINE_MS)
      this.child.once('error', (error) => fail(error.message))
      this.child.once('close', () => fail('ended'))
      this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        this.log += text
        if (this.ports.size === count) return
        for (const [, name = '', port] of this.log.matchAll(
          /Service \[([^\]]+)\] \(FD=\d+\) bound to [\d.]+:(\d+)\n/g,
        )) {
          this.ports.set(name, Number(port))
        }
        if (this.ports.size < count) return
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

function configuration(services: Readonly<Record<string, StunnelService>>): string {
  const lines = ['foreground = yes', 'pid =', 'syslog = no', 'debug = info', 'client = yes']
  for (const [name, { host, port, caFile, pair }] of Object.entries(services)) {
    lines.push(`[${name}]`, `accept = ${STUNNEL_HOST}:0`, `connect = ${host}:${port}`)
    lines.push('verifyChain = yes', `CAfile = ${caFile}`, `checkIP = ${host}`)
    if (pair !== undefined) lines.push(`cert = ${pair.certificateFile}`, `key = ${pair.keyFile}`)
  }
  return `${lines.join('\n')}\n`
}
