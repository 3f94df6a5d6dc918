/** `saslcached get`, `set`, `delete` and `flush`. */
import type { Command } from 'commander'
import { EXIT_CONFIG, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK } from '../../base/exit-code.ts'
import { formatAddress } from '../../client/address.ts'
import { openSession } from '../../client/connect.ts'
import { itemJson, keyJson } from '../../client/item-json.ts'
import { parseKey } from '../../client/key.ts'
import { decodeUtf8, printable, printableBytes } from '../../client/printable.ts'
import type { Session } from '../../client/session.ts'
import { readValueFile } from '../../client/value-file.ts'
import { VALUE_BYTES_MAX } from '../../client/wire.ts'
import { CommandFailure, type Io } from '../io.ts'
import {
  type ClientCommand,
  type ClientContext,
  NAMESPACE_OPTION,
  namespaceOf,
  numberOf,
} from './client-command.ts'

const FLAGS_MAX = 0xffff_ffff
/** Ten years: what is longer is a date by mistake. */
const TTL_SECONDS_MAX = 315_360_000
const ENCODED = ['--encoded', 'the key is percent-encoded, as dump shows it'] as const

export const GET_COMMAND: ClientCommand = {
  operandsMax: 1,
  declare: (command) => {
    command.argument('<key>', 'key of the item').option(...ENCODED)
    command.option('--raw', 'write control characters to a terminal, too')
  },
  examples: [
    ['get greeting', 'its bytes; exit code 1: there is none'],
    ['get greeting --json', 'with flags, CAS and time to live'],
    ['get session%0A1 --encoded > item', 'a key as dump shows it'],
  ],
  run: async (context) => {
    const key = keyOf(context)
    const item = await withSession(context, (session) => session.get(key))
    const { output, isJson, io } = context
    if (item === undefined) {
      if (!isJson) io.err('saslcached: there is no such item\n')
      return EXIT_FAILURE
    }
    if (isJson) {
      await output.json({ ...keyJson(key), ...itemJson(item) })
    } else if (output.isTerminal && context.options.raw !== true && !isSafe(item.value)) {
      await output.line(printableBytes(item.value))
      io.err('note: control characters were escaped; --raw, or a pipe, has the bytes\n')
    } else {
      await output.write(item.value)
      if (output.isTerminal) await output.write('\n')
    }
    return EXIT_OK
  },
}

export const SET_COMMAND: ClientCommand = {
  operandsMax: 2,
  declare: (command) => {
    command
      .argument('<key>', 'key of the item')
      .argument('[value]', 'the value; "-", or none: it is read from stdin')
      .option('--file <file>', 'read the value from a file')
      .option('--ttl <seconds>', 'how long it lives; 0: for ever', '0')
      .option('--flags <number>', 'what clients keep beside it', '0')
      .option(...ENCODED)
  },
  examples: [
    ['set greeting hello --ttl 60', 'for a minute; everybody here can read a command line'],
    ['set secret < file', 'from stdin, which nobody else reads'],
    ['set page --file index.html', 'from a file'],
  ],
  run: async (context) => {
    const key = keyOf(context)
    const ttl = numberOf(context, 'ttl', { flag: '--ttl', min: 0, max: TTL_SECONDS_MAX })
    const flags = numberOf(context, 'flags', { flag: '--flags', min: 0, max: FLAGS_MAX })
    const value = await readValue(context)
    const isStored = await withSession(context, (session) => session.set(key, value, ttl, flags))
    return await told(context, isStored, 'stored', 'it was not stored')
  },
}

export const DELETE_COMMAND: ClientCommand = {
  operandsMax: 1,
  declare: (command) => {
    command.argument('<key>', 'key of the item').option(...ENCODED)
  },
  examples: [['delete greeting', 'exit code 1: there was none']],
  run: async (context) => {
    const key = keyOf(context)
    const isDeleted = await withSession(context, (session) => session.delete(key))
    return await told(context, isDeleted, 'deleted', 'there is no such item')
  },
}

export const FLUSH_COMMAND: ClientCommand = {
  operandsMax: 0,
  declare: (command: Command) => {
    command.option('--yes', 'do not ask').option(...NAMESPACE_OPTION)
  },
  examples: [
    ['flush', 'asks first; of the own namespace where there are several'],
    ['flush --profile test --yes', 'for scripts'],
    ['flush --namespace shop', 'those of one namespace'],
  ],
  run: async (context) => {
    const { io, options, target } = context
    const namespace = namespaceOf(context)
    const address = formatAddress(target.address)
    // A server does not tell who is in which namespace.
    const what =
      namespace === undefined
        ? `All items of ${address} go, for everybody; where it has namespaces, those of the own one.`
        : `All items of namespace ${namespace} of ${address} go, for everybody.`
    if (options.yes !== true) await confirm(io, what)
    await withSession(context, (session) => session.flush(namespace))
    return await told(context, true, 'flushed', '')
  },
}

async function withSession<Result>(
  { target }: ClientContext,
  act: (session: Session) => Promise<Result>,
): Promise<Result> {
  const session = await openSession(target)
  try {
    return await act(session)
  } finally {
    session.close()
  }
}

/** What became of it, for people and for scripts; the exit code says the same. */
async function told(
  { io, output, isJson }: ClientContext,
  isDone: boolean,
  done: string,
  otherwise: string,
): Promise<number> {
  if (isJson) await output.json({ [done]: isDone })
  else if (!isDone) io.err(`saslcached: ${otherwise}\n`)
  return isDone ? EXIT_OK : EXIT_FAILURE
}

function keyOf({ args, options }: ClientContext): Buffer {
  const key = parseKey(args[0] ?? '', options.encoded === true)
  if (typeof key === 'string') throw new CommandFailure(`the key ${key}`, EXIT_CONFIG)
  return key
}

async function readValue({ args, options, io }: ClientContext): Promise<Buffer> {
  const [, given] = args
  const file = options.file === undefined ? undefined : String(options.file)
  if (file !== undefined) {
    if (given !== undefined) throw new CommandFailure('the value is given twice', EXIT_CONFIG)
    return readValueFile(file)
  }
  if (given !== undefined && given !== '-') return Buffer.from(given)
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of io.stdin) {
    const bytes = Buffer.from(chunk)
    length += bytes.length
    if (length > VALUE_BYTES_MAX) {
      throw new CommandFailure(`a value has at most ${VALUE_BYTES_MAX} bytes; stdin has more`)
    }
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

/** Text that a terminal only shows: lines and tabs are. */
function isSafe(value: Uint8Array): boolean {
  const text = decodeUtf8(value)?.replaceAll(/\r?\n|\t/g, '')
  return text !== undefined && printable(text) === text
}

async function confirm(io: Io, what: string): Promise<void> {
  if (io.stdin.isTTY !== true) {
    const message = 'flush asks first, and there is no terminal to ask on: give --yes'
    throw new CommandFailure(message, EXIT_CONFIG)
  }
  io.err(`${printable(what)} Type yes: `)
  const { stdin } = io
  const answer = await new Promise<string>((resolve) => {
    let typed = ''
    const onData = (chunk: Buffer): void => {
      typed += chunk.toString()
      if (typed.includes('\n')) finish()
    }
    const finish = (): void => {
      stdin.off('data', onData)
      stdin.off('end', finish)
      stdin.pause()
      resolve(typed)
    }
    stdin.on('data', onData)
    stdin.on('end', finish)
    stdin.resume()
  })
  if (answer.trim() !== 'yes') throw new CommandFailure('nothing was done', EXIT_INTERRUPTED)
}
