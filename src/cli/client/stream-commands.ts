/** `saslcached dump` and `saslcached watch`: lines as they come. */
import { EXIT_CONFIG, EXIT_OK } from '../../base/exit-code.ts'
import { ClientError } from '../../client/client-error.ts'
import { openSession } from '../../client/connect.ts'
import { fieldsJson, parseFields } from '../../client/dump.ts'
import { itemJson, keyJson } from '../../client/item-json.ts'
import { decodeKey } from '../../client/key.ts'
import { excerpt, printable, printableBytes, printableJson } from '../../client/printable.ts'
import type { Session } from '../../client/session.ts'
import { CommandFailure } from '../io.ts'
import {
  type ClientCommand,
  type ClientContext,
  NAMESPACE_OPTION,
  namespaceOf,
  numberOf,
} from './client-command.ts'

const LIMIT_MAX = 1_000_000_000
/** Held until the end of the list. */
const LARGEST_MAX = 10_000
/** Values are asked for so many at a time. */
const BATCH_KEYS = 64
const WATCH_WORD = /^[a-z]{1,32}$/

interface DumpOptions {
  readonly prefix: Buffer
  readonly limit: number
  /** 0: all, in the server's order. */
  readonly largest: number
}

interface DumpedItem {
  readonly key: Buffer
  /** As the server wrote it: percent-encoded. */
  readonly name: string
  readonly fields: ReadonlyMap<string, string>
}

export const DUMP_COMMAND: ClientCommand = {
  operandsMax: 0,
  declare: (command) => {
    command
      .option('--values', 'print the values, too, behind a tab')
      .option('--long', 'print all that the server tells of an item')
      .option('--prefix <text>', 'only keys that begin with it', '')
      .option('--limit <number>', 'so many at most; 0: all', '0')
      .option('--largest <number>', 'only so many, the largest first, with their sizes', '0')
      .option(...NAMESPACE_OPTION)
  },
  examples: [
    ['dump', 'a key a line, percent-encoded'],
    ['dump --prefix session: --limit 10 --long', 'with expiry, size and last access'],
    ['dump --largest 20', 'what takes the most memory'],
    ['dump --values --json > items.ndjson', 'an object a line'],
  ],
  run: async (context) => {
    const { options, target } = context
    const prefix = Buffer.from(String(options.prefix))
    const limit = numberOf(context, 'limit', { flag: '--limit', min: 0, max: LIMIT_MAX })
    const largest = numberOf(context, 'largest', { flag: '--largest', min: 0, max: LARGEST_MAX })
    if (limit > 0 && largest > 0) {
      const message =
        '--limit ends the list before its largest are known: it goes without --largest'
      throw new CommandFailure(message, EXIT_CONFIG)
    }
    if (namespaceOf(context) !== undefined && options.values === true) {
      const message =
        'values are read by users of the namespace alone: --values goes without --namespace'
      throw new CommandFailure(message, EXIT_CONFIG)
    }
    const session = await openSession(target)
    const reader = options.values === true ? await openSession(target) : undefined
    try {
      await dump(context, session, reader, { prefix, limit, largest })
      return EXIT_OK
    } finally {
      session.close()
      reader?.close()
    }
  },
}

async function dump(
  context: ClientContext,
  session: Session,
  reader: Session | undefined,
  { prefix, limit, largest }: DumpOptions,
): Promise<void> {
  let batch: DumpedItem[] = []
  const kept: DumpedItem[] = []
  let count = 0
  for await (const line of session.lines({ kind: 'metadump', namespace: namespaceOf(context) })) {
    const fields = parseFields(line)
    const name = fields.get('key') ?? ''
    const key = decodeKey(name)
    if (key === undefined || key.length === 0) {
      throw new ClientError('protocol', `the server's dump makes no sense: "${excerpt(line)}"`)
    }
    if (!key.subarray(0, prefix.length).equals(prefix)) continue
    count++
    if (largest > 0) keepLargest(kept, { key, name, fields }, largest)
    else batch.push({ key, name, fields })
    if (batch.length === BATCH_KEYS) {
      await printItems(context, reader, batch)
      batch = []
    }
    if (count === limit) break
  }
  await printItems(context, reader, batch)
  for (let from = 0; from < kept.length; from += BATCH_KEYS) {
    await printItems(context, reader, kept.slice(from, from + BATCH_KEYS))
  }
}

const sizeOf = ({ fields }: DumpedItem): number => Number(fields.get('size') ?? 0)

/** Adds it to those that are kept, the largest first, if it is one of the largest; the last one goes for it. */
function keepLargest(kept: DumpedItem[], item: DumpedItem, countMax: number): void {
  const size = sizeOf(item)
  const last = kept.at(-1)
  if (kept.length === countMax && last !== undefined && sizeOf(last) >= size) return
  let low = 0
  for (let high = kept.length; low < high; ) {
    const middle = (low + high) >>> 1
    if (sizeOf(kept[middle]!) >= size) low = middle + 1
    else high = middle
  }
  kept.splice(low, 0, item)
  if (kept.length > countMax) kept.pop()
}

async function printItems(
  { output, isJson, options }: ClientContext,
  reader: Session | undefined,
  batch: readonly DumpedItem[],
): Promise<void> {
  const values = await Promise.all(batch.map(({ key }) => reader?.get(key)))
  const lines: string[] = []
  for (const [index, { key, name, fields }] of batch.entries()) {
    const item = values[index]
    // It has gone since it was listed.
    if (reader !== undefined && item === undefined) continue
    if (isJson) {
      const { key: _, ...told } = fieldsJson(fields)
      lines.push(printableJson({ ...keyJson(key), ...told, ...(item && itemJson(item)) }))
      continue
    }
    const [, ...told] = [...fields].map(([field, value]) => `${field}=${value}`)
    const hasSize = Number(options.largest) > 0
    const shown =
      options.long === true ? told : hasSize ? [`size=${fields.get('size') ?? '?'}`] : []
    const head = [name, ...shown].join(' ')
    lines.push(printable(head) + (item === undefined ? '' : `\t${printableBytes(item.value)}`))
  }
  if (lines.length > 0) await output.line(lines.join('\n'))
}

export const WATCH_COMMAND: ClientCommand = {
  operandsMax: 16,
  declare: (command) => {
    command
      .argument('[kind...]', 'fetchers, mutations, evictions, deletions, connevents')
      .option('--count <number>', 'end after so many lines; 0: never', '0')
      .option(...NAMESPACE_OPTION)
  },
  examples: [
    ['watch', 'every look-up, until Control-C'],
    ['watch mutations deletions --json', 'an object a line'],
    ['watch evictions --count 10', 'ends by itself'],
  ],
  run: async (context) => {
    const { args, target, output, isJson } = context
    if (!args.every((word) => WATCH_WORD.test(word))) {
      throw new CommandFailure('what is to be watched is a word of small letters', EXIT_CONFIG)
    }
    const count = numberOf(context, 'count', { flag: '--count', min: 0, max: LIMIT_MAX })
    const words = args.length === 0 ? ['fetchers'] : args
    const namespace = namespaceOf(context)
    const session = await openSession(target)
    try {
      let seen = 0
      for await (const line of session.lines({ kind: 'watch', words, namespace })) {
        if (isJson) await output.json(fieldsJson(parseFields(line)))
        else await output.line(printable(line))
        if (++seen === count) break
      }
      return EXIT_OK
    } finally {
      session.close()
    }
  },
}
