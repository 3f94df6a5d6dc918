/**
 * libsasl2 and libgsasl as clients: client.c of each in test/integration/clients, built here, whose messages
 * are carried to a session in this process or over a connection to a server.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { inheritedEnvironment, type Prerequisite, runProgram } from './program.ts'

const CLIENTS = join(import.meta.dirname, '..', 'integration', 'clients')
const DEADLINE_MS = 60_000

export const LIBSASL2: Prerequisite = {
  packages: 'gcc libc6-dev libsasl2-dev libsasl2-modules',
  probe: ['sh', '-c', 'command -v gcc && test -f /usr/include/sasl/sasl.h'],
}

export const LIBGSASL: Prerequisite = {
  packages: 'gcc libc6-dev libgsasl-dev',
  probe: ['sh', '-c', 'command -v gcc && test -f /usr/include/gsasl.h'],
}

export interface Libsasl2Login {
  /** As the server announces it. */
  readonly mechanisms: string
  readonly user?: string
  readonly password?: string
  /** Whom to act for. */
  readonly authzid?: string
  /** Who the client is known as outside SASL. */
  readonly external?: string
  readonly binding?: { readonly type: string; readonly data: Uint8Array }
}

/** What a server answers to a message. */
export type Libsasl2Answer =
  | { readonly kind: 'challenge'; readonly bytes: Uint8Array }
  | { readonly kind: 'success' | 'failure' }

export interface Libsasl2Carrier {
  start(
    mechanism: string,
    initialResponse: Uint8Array | undefined,
  ): Promise<Libsasl2Answer> | Libsasl2Answer
  step(response: Uint8Array, mechanism: string): Promise<Libsasl2Answer> | Libsasl2Answer
}

export interface Libsasl2Result {
  /** `refused`: it found none; `broken`: it did not take a challenge. Else the server's last word. */
  readonly outcome: 'refused' | 'broken' | 'success' | 'failure'
  /** As it is called on the wire: libsasl2 leaves -PLUS out. */
  readonly mechanism: string
  /** Undefined: it had none; empty: an empty one. */
  readonly initialResponse: string | undefined
}

/** libsasl2, or libgsasl, which was written apart from it and has the same interface here. */
export class Libsasl2 {
  private readonly library: string
  private readonly folder = mkdtempSync(join(tmpdir(), 'saslcached-libsasl2-'))

  constructor(library: 'sasl2' | 'gsasl' = 'sasl2') {
    this.library = library
  }

  private get program(): string {
    return join(this.folder, 'client')
  }

  async build(): Promise<void> {
    const source = join(CLIENTS, `lib${this.library}`, 'client.c')
    const command = ['gcc', '-O1', '-o', this.program, source, `-l${this.library}`]
    const built = await runProgram(command, { deadlineMs: DEADLINE_MS })
    if (built.exitCode !== 0) throw new Error(built.stderr)
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  async login(login: Libsasl2Login, carrier: Libsasl2Carrier): Promise<Libsasl2Result> {
    const child = spawn(this.program, [], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...inheritedEnvironment(), ...environmentOf(login) },
      timeout: DEADLINE_MS,
    })
    // It may have ended when its answer comes.
    child.stdin.on('error', () => undefined)
    let mechanism = ''
    let initialResponse: string | undefined
    let outcome: Libsasl2Result['outcome'] | undefined
    for await (const line of createInterface({ input: child.stdout })) {
      const [word = '', ...rest] = line.split(' ')
      if (word === 'refused' || word === 'broken') {
        outcome = word
        break
      }
      let answer: Libsasl2Answer
      if (word === 'start') {
        const [name = '', hex] = rest
        mechanism = name
        const bytes = hex === undefined ? undefined : Buffer.from(hex, 'hex')
        initialResponse = bytes?.toString()
        answer = await carrier.start(name, bytes)
      } else {
        answer = await carrier.step(Buffer.from(rest[0] ?? '', 'hex'), mechanism)
      }
      if (answer.kind !== 'challenge') {
        outcome = answer.kind
        break
      }
      child.stdin.write(`challenge ${Buffer.from(answer.bytes).toString('hex')}\n`)
    }
    child.stdin.end('over\n')
    if (outcome === undefined) throw new Error(`lib${this.library} ended in the middle of a login`)
    return { outcome, mechanism, initialResponse }
  }
}

function environmentOf(login: Libsasl2Login): Record<string, string> {
  return {
    CLIENT_MECHANISMS: login.mechanisms,
    CLIENT_USER: login.user ?? '',
    CLIENT_PASSWORD: login.password ?? '',
    CLIENT_AUTHZID: login.authzid ?? '',
    CLIENT_EXTERNAL: login.external ?? '',
    CLIENT_BINDING: login.binding?.type ?? '',
    CLIENT_BOUND: Buffer.from(login.binding?.data ?? []).toString('hex'),
  }
}
