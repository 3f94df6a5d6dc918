/**
 * Every ordered pair of flags of mg, ms, md and ma on an item in every state: what is answered, and
 * how the item is afterwards. Asked of memcached 1.6.45 once, and kept in meta-flag-pairs.txt; asked
 * of saslcached in every run of the tests.
 *
 * The file begins with the outcomes, a line each, numbered from 0 in base 36. Then comes a matrix for
 * each command and state: a line for each first flag, in it the outcome for each second flag. Numbers that hang on the clock or
 * on what was stored before are made the same: a TTL that has just begun is the one it began with,
 * and a CAS that was not given is `*`.
 */
import type { TextClient } from '../support/text-client.ts'

interface Command {
  readonly name: string
  readonly flags: readonly string[]
  /** Behind the key, before the flags. */
  readonly length: string
  readonly block: string
}

function command(name: string, flags: string, block = ''): Command {
  const length = block === '' ? '' : ` ${block.length}`
  return { name, flags: flags.split(' '), length, block: block === '' ? '' : `${block}\r\n` }
}

const COMMANDS: readonly Command[] = [
  command(
    'mg',
    'b c C1000005 C1000006 E1000007 f h k l N30 O1 q R30 R10 s t T60 u v x I F9 D2 J13 MS P1 L1',
  ),
  command(
    'ms',
    'b c C1000005 C1000006 E1000007 F9 I k O1 q s T60 N30 MS ME MA MP MR MX x v t f',
    '16',
  ),
  command('md', 'b c C1000005 C1000006 E1000007 F9 I k N30 O1 q s T60 x v t'),
  command(
    'ma',
    'b c C1000005 C1000006 E1000007 D2 J13 k MI MD M+ M- MX N30 O1 q T60 t v s F9 R30 I',
  ),
]

const KEY = 'pairpair'

/** How the item comes into each state; before, there is none under the key, as text or decoded. */
const STATES: Readonly<Record<string, string>> = {
  missing: '',
  number: `ms ${KEY} 2 E1000005\r\n15\r\n`,
  text: `ms ${KEY} 3 E1000005 F3\r\nabc\r\n`,
  expiring: `ms ${KEY} 2 E1000005 T20\r\n15\r\n`,
  read: `ms ${KEY} 2 E1000005 T100\r\n15\r\nmg ${KEY}\r\n`,
  stale: `ms ${KEY} 2\r\n15\r\nmd ${KEY} I E1000005 T20\r\n`,
  won: `ms ${KEY} 2\r\n15\r\nmd ${KEY} I E1000005 T20\r\nmg ${KEY}\r\n`,
}

const MARK = 'MN\r\n'
const CLEAN = `md ${KEY} q\r\nmd ${KEY} b q\r\n`
const LOOK = `mg ${KEY} s v c f t h u\r\nmg ${KEY} b s v c f t u\r\n`
const TTLS: readonly number[] = [10, 13, 20, 30, 60, 100]
/** Seconds that one pair takes at most, on a machine that is busy with other things. */
const SLACK_SECONDS = 5

/** `<command> <state> <first> <second>` -> what is answered and how the item is afterwards. */
export type Outcomes = ReadonlyMap<string, string>

export async function askAllPairs(client: TextClient): Promise<Outcomes> {
  const outcomes = new Map<string, string>()
  for (const command of COMMANDS) {
    for (const [state, setUp] of Object.entries(STATES)) {
      for (const first of command.flags) {
        const answers = await askPairs(client, command, setUp, first)
        for (const [index, second] of command.flags.entries()) {
          outcomes.set(`${command.name} ${state} ${first} ${second}`, answers[index] ?? '')
        }
      }
    }
  }
  return outcomes
}

export function formatPairs(outcomes: Outcomes): string {
  const numbers = new Map([...new Set(outcomes.values())].map((text, index) => [text, index]))
  const numberOf = (text: string | undefined): string => (numbers.get(text ?? '') ?? 0).toString(36)
  const lines = eachMatrix((name, state, flags) => [
    `== ${name} ${state}: ${flags.join(' ')}`,
    ...flags.map((first) =>
      flags
        .map((second) => numberOf(outcomes.get(`${name} ${state} ${first} ${second}`)))
        .join(' '),
    ),
  ])
  return `${[...numbers.keys(), ...lines].join('\n')}\n`
}

/** Reads what formatPairs() has written; lines that begin with `#` are left out. */
export function parsePairs(text: string): Outcomes {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const texts = lines.splice(
    0,
    lines.findIndex((line) => line.startsWith('== ')),
  )
  const rows = lines.filter((line) => !line.startsWith('== ')).values()
  return new Map(
    eachMatrix((name, state, flags) =>
      flags.flatMap((first) => {
        const numbers = (rows.next().value ?? '').split(' ')
        return flags.map((second, index) => {
          const outcome = texts[Number.parseInt(numbers[index] ?? '', 36)] ?? 'not in the table'
          return [`${name} ${state} ${first} ${second}`, outcome] as const
        })
      }),
    ),
  )
}

function eachMatrix<T>(make: (name: string, state: string, flags: readonly string[]) => T[]): T[] {
  return COMMANDS.flatMap(({ name, flags }) =>
    Object.keys(STATES).flatMap((state) => make(name, state, flags)),
  )
}

/** The outcome of `first` with each flag behind it, in one pipeline. */
async function askPairs(
  client: TextClient,
  { name, flags, length, block }: Command,
  setUp: string,
  first: string,
): Promise<string[]> {
  const requests = flags.map(
    (second) =>
      `${CLEAN}${setUp}mn\r\n${name} ${KEY}${length} ${first} ${second}\r\n${block}mn\r\n${LOOK}mn\r\n`,
  )
  const answer = await client.ask(`${requests.join('')}mg none Oend\r\n`, 'EN Oend\r\n')
  const parts = answer.split(MARK)
  return flags.map((_, index) => {
    const [reply = '', item = ''] = parts.slice(3 * index + 1, 3 * index + 3)
    return `${settled(reply)} => ${settled(item)}`
  })
}

function settled(answer: string): string {
  return answer
    .replace(/ t(\d+)/g, (found, digits: string) => {
      const ttl = TTLS.find(
        (begun) => begun >= Number(digits) && begun - Number(digits) <= SLACK_SECONDS,
      )
      return ttl === undefined ? found : ` t${ttl}`
    })
    .replace(/ l\d+/g, ' l*')
    .replace(/ c(\d+)/g, (found, digits: string) => (/^(0|100000\d)$/.test(digits) ? found : ' c*'))
    .replaceAll('\r\n', '/')
}
