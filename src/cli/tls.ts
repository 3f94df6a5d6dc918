/** `saslcached tls self-signed`: a certificate and its key, to try TLS with. */
import { join } from 'node:path'
import { counted } from '../base/counted.ts'
import { EXIT_OK } from '../base/exit-code.ts'
import { makeSelfSigned, problemWithDays, problemWithHost } from '../credential/self-signed.ts'
import { PairFileError, writePair } from '../credential/self-signed-files.ts'
import { commandOf } from '../server/main/generated-user.ts'
import { CommandFailure, type Io } from './io.ts'

export interface SelfSignedRequest {
  readonly directory: string
  /** None: this machine's own. */
  readonly hosts: readonly string[]
  readonly days: string
  /** Files that are there are replaced. */
  readonly force: boolean
}

const LOCAL_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '::1']

/** Throws a CommandFailure with what the person can do about it. */
export async function runSelfSigned(
  io: Io,
  { directory, hosts, days, force }: SelfSignedRequest,
  nowMs: number = Date.now(),
): Promise<number> {
  const named = hosts.length === 0 ? LOCAL_HOSTS : [...new Set(hosts)]
  for (const host of named) refuse(`--name ${JSON.stringify(host)}`, problemWithHost(host))
  const dayCount = /^\d{1,9}$/.test(days) ? Number(days) : Number.NaN
  refuse(`--days ${JSON.stringify(days)}`, problemWithDays(dayCount, nowMs))
  const certificateFile = join(directory, 'tls.crt')
  const keyFile = join(directory, 'tls.key')
  const pair = makeSelfSigned({ hosts: named, days: dayCount, nowMs })
  try {
    await writePair(pair, { certificateFile, keyFile }, force)
  } catch (error) {
    if (error instanceof PairFileError) throw new CommandFailure(error.message)
    throw error
  }
  const command = commandOf(io.program)
  const host = named.find((name) => !name.includes('*')) ?? 'localhost'
  io.err(
    [
      `${certificateFile} is good for ${named.join(', ')}, ${counted(dayCount, 'day')} from now`,
      `${keyFile} is its key: keep it to yourself`,
      '',
      'To serve with it, and to look at it:',
      '',
      `    ${command} -Z --tls-cert ${quote(certificateFile)} --tls-key ${quote(keyFile)}`,
      `    openssl s_client -connect ${bracketed(host)}:11211 -CAfile ${quote(certificateFile)} -quiet`,
      '',
      'Clients trust nobody but who they are told to: give them the certificate as their CA file.',
      '',
    ].join('\n'),
  )
  return EXIT_OK
}

function refuse(what: string, problem: string | undefined): void {
  if (problem !== undefined) throw new CommandFailure(`${what} ${problem}`)
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** As a shell takes it whole. */
function quote(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
