/** `saslcached stats [group]`. */
import { EXIT_CONFIG, EXIT_OK } from '../../base/exit-code.ts'
import { KEY_BYTES_MAX } from '../../base/key-bytes-max.ts'
import { openSession } from '../../client/connect.ts'
import { printable } from '../../client/printable.ts'
import { formatStats, statsJson } from '../../client/stat-table.ts'
import { CommandFailure } from '../io.ts'
import type { ClientCommand } from './client-command.ts'

/** What people call a group whose name on the wire is another. */
const ALIASES: Readonly<Record<string, string>> = {
  general: '',
  detail: 'detail dump',
  prefixes: 'detail dump',
}

/** A server would take the first word, and drop the others. */
const ONE_WORD: readonly string[] = [
  ...['general', 'settings', 'items', 'slabs', 'conns', 'sizes', 'prefixes'],
  ...['auth', 'store', 'namespaces', 'reset', 'sizes_enable', 'sizes_disable'],
]

/** A memcached holds a key's length of it, and a line end would begin another command. */
const GROUP = /^[\x21-\x7e]+( [\x21-\x7e]+)*$/

export const STATS_COMMAND: ClientCommand = {
  operandsMax: 8,
  declare: (command) => {
    command
      .argument(
        '[group]',
        'settings, items, slabs, conns, sizes, prefixes; of saslcached also auth, store, namespaces, namespace',
      )
      .argument('[name]', 'of the namespace')
  },
  examples: [
    ['stats', 'the general ones'],
    ['stats conns', 'a row for each connection'],
    ['stats --json | jq .curr_items', 'one object'],
  ],
  run: async ({ args, target, output, isJson }) => {
    const group = groupOf(args.join(' '))
    const session = await openSession(target)
    try {
      const { rows, words: said } = await session.stats(group)
      // A script counts on a statistic a line.
      const width = output.isTerminal ? output.columns : 0
      if (isJson) await output.json(statsJson(rows))
      else if (rows.length > 0) await output.line(formatStats(rows, width).join('\n'))
      else await output.line(said.length > 0 ? printable(said.join(' ')) : '(none)')
      return EXIT_OK
    } finally {
      session.close()
    }
  },
}

function groupOf(words: string): string {
  const group = Object.hasOwn(ALIASES, words) ? (ALIASES[words] ?? '') : words
  if (group !== '' && (!GROUP.test(group) || group.length > KEY_BYTES_MAX)) {
    throw new CommandFailure('the group is none: words of printable ASCII', EXIT_CONFIG)
  }
  const [first = '', ...others] = words.split(' ')
  if (ONE_WORD.includes(first) && others.length > 0) {
    const message = `one group at a time: stats ${first}, and another time the next`
    throw new CommandFailure(message, EXIT_CONFIG)
  }
  if (first === 'namespace' && others.length !== 1) {
    throw new CommandFailure('a namespace has a name: stats namespace NAME', EXIT_CONFIG)
  }
  return group
}
