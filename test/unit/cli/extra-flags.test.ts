/** MEMCACHED_EXTRA_FLAGS: what it sets, what wins over it, and what is wrong with it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeDirectory, run } from './support.ts'

const PRINT = ['--print-config', '--no-auth']

/** Settings that are not the default, each with its source. */
async function settings(
  environment: Readonly<Record<string, string>>,
  argv: readonly string[] = [],
  directory?: string,
): Promise<Readonly<Record<string, string>>> {
  const given = directory === undefined ? { environment } : { environment, directory }
  const { exitCode, out, err } = await run([...PRINT, ...argv], given)
  expect([exitCode, err]).toEqual([0, ''])
  const rows = [...out.matchAll(/^(\w+) = (.*?) +# (?!default|--no-auth)(.*?)(?:: .*)?$/gm)]
  return Object.fromEntries(rows.map(([, name, value, source]) => [name, `${value} ${source}`]))
}

async function problems(text: string, argv: readonly string[] = PRINT): Promise<string> {
  const { exitCode, err } = await run(argv, { environment: { MEMCACHED_EXTRA_FLAGS: text } })
  expect(exitCode).toBe(78)
  return err
}

test('flags of the variable are those of the command line, with quotes', async () => {
  const MEMCACHED_EXTRA_FLAGS = `-m 128 -I2m -vv  -P "/run/a b.pid" --disable-evictions -o modern`
  expect(await settings({ MEMCACHED_EXTRA_FLAGS })).toEqual({
    memory_limit_mib: '128 MEMCACHED_EXTRA_FLAGS -m',
    max_item_size: '"2m" MEMCACHED_EXTRA_FLAGS -I',
    verbose: '2 MEMCACHED_EXTRA_FLAGS -v',
    pidfile: '"/run/a b.pid" MEMCACHED_EXTRA_FLAGS -P',
    disable_evictions: 'true MEMCACHED_EXTRA_FLAGS --disable-evictions',
  })
})

test('the command line wins over it, and it wins over other variables and over the file', async () => {
  const directory = makeDirectory()
  writeFileSync(
    join(directory, 'saslcached.toml'),
    '[memory]\nmemory_limit_mib = 1\n[limits]\nconn_limit = 1\n[process]\nthreads = 1\n',
  )
  const environment = {
    MEMCACHED_EXTRA_FLAGS: '-m 128 -t 3 -l 10.0.0.1 -l 10.0.0.2',
    MEMCACHED_THREADS: '2',
    SASLCACHED_MEMORY_LIMIT_MIB: '2',
    SASLCACHED_CONN_LIMIT: '2',
  }
  expect(await settings(environment, ['-m', '256'], directory)).toEqual({
    memory_limit_mib: '256 -m',
    threads: '3 MEMCACHED_EXTRA_FLAGS -t',
    listen: '["10.0.0.1", "10.0.0.2"] MEMCACHED_EXTRA_FLAGS -l',
    conn_limit: '2 SASLCACHED_CONN_LIMIT',
  })
  // Addresses of one source are joined, not those of two.
  expect((await settings(environment, ['-l', '10.0.0.3'], directory)).listen).toBe(
    '["10.0.0.3"] -l',
  )
})

test('--config in it names the file, unless the command line names one', async () => {
  const directory = makeDirectory()
  for (const name of ['a', 'b']) {
    writeFileSync(join(directory, name), `[memory]\nmemory_limit_mib = ${name === 'a' ? 10 : 20}\n`)
  }
  const [a, b] = [join(directory, 'a'), join(directory, 'b')]
  const environment = { MEMCACHED_EXTRA_FLAGS: `--config ${a}` }
  expect((await settings(environment)).memory_limit_mib).toBe(`10 ${a}:2`)
  expect((await settings(environment, ['--config', b])).memory_limit_mib).toBe(`20 ${b}:2`)
})

test('nothing in it is executed or expanded', async () => {
  const MEMCACHED_EXTRA_FLAGS = '-P $(id) -s `id`/$HOME/*'
  const { pidfile, unix_socket: socket } = await settings({ MEMCACHED_EXTRA_FLAGS })
  expect(pidfile).toBe('"$(id)" MEMCACHED_EXTRA_FLAGS -P')
  expect(socket).toBe('"`id`/$HOME/*" MEMCACHED_EXTRA_FLAGS -s')
})

test('what is wrong in it is told as on the command line, and no unknown word is repeated', async () => {
  const message = await problems('-c 1k -q hunter2 --memory-limt=8 -U 11211 hunter3')
  expect(message.trimEnd().split('\n')).toEqual([
    'saslcached: 4 problems',
    '  MEMCACHED_EXTRA_FLAGS -q: is not an option; --help lists all',
    '  MEMCACHED_EXTRA_FLAGS --memory-limt: is not an option; did you mean --memory-limit?',
    expect.stringMatching(/^ {2}MEMCACHED_EXTRA_FLAGS/),
    expect.stringMatching(/^ {2}MEMCACHED_EXTRA_FLAGS/),
  ])
  expect(message).not.toContain('hunter')
  expect(await problems('-m')).toContain('MEMCACHED_EXTRA_FLAGS: option')
  expect(await problems('-P "x')).toContain('MEMCACHED_EXTRA_FLAGS: has a " without its end')
  expect(await problems('user add eve')).toContain(
    'MEMCACHED_EXTRA_FLAGS: has an argument too many',
  )
})

test.each(['-h', '--help', '-V', '--version', '--print-config', '--check-config', '-i'])(
  '%s in it is no option of the server',
  async (flag) => {
    expect(await problems(flag, ['--check-config'])).toContain(
      `MEMCACHED_EXTRA_FLAGS ${flag}: is not an option`,
    )
  },
)
