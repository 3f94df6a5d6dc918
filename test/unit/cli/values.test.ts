/**
 * Values as users write them, against memcached 1.6.45: each was given to both, and what it made of it
 * stands here (`stats settings` of a server that started, `refused` otherwise), because a machine that
 * runs the tests need not have it. What it takes is taken here, unless it takes it for something else
 * than what is written; `taken wrongly` is where a clear refusal is better.
 */
import { expect, test } from 'vitest'
import { run } from './support.ts'

/** As --print-config shows the value of the option; undefined where the server refuses. */
type Ours = string | undefined
/** `taken`: for the same value as here. `taken wrongly`: for something that is not written there. */
type Reference = 'taken' | 'taken wrongly' | 'refused'

const VALUES: readonly (readonly [option: string, argv: string[], Reference, Ours])[] = [
  ['port', ['-p 22411'], 'taken', '22411'],
  ['port', ['-p', '22411 '], 'taken', '22411'],
  ['port', ['-p', '\t22411\r\n'], 'taken', '22411'],
  ['port', ['-p', '0022411'], 'taken', '22411'],
  ['port', ['-p', '+22411'], 'taken', '22411'],
  ['port', ['-p', '22411,'], 'taken', '22411'],
  ['port', ['-p', '22411abc'], 'taken wrongly', undefined],
  ['port', ['-p', '1e4'], 'taken wrongly', undefined],
  // No TCP at all: the value of a variable that is not set.
  ['port', ['-p', ''], 'taken wrongly', undefined],
  ['port', ['-p', '65536'], 'refused', undefined],
  ['memory_limit_mib', ['-m 64'], 'taken', '64'],
  ['memory_limit_mib', ['-m', '064'], 'taken', '64'],
  ['memory_limit_mib', ['-m', '64,'], 'taken', '64'],
  ['memory_limit_mib', ['-m', '64m'], 'taken', '64'],
  ['memory_limit_mib', ['-m', '64 MB'], 'taken', '64'],
  ['memory_limit_mib', ['-m', '64MiB'], 'taken', '64'],
  ['memory_limit_mib', ['-m', '64.5'], 'taken wrongly', undefined],
  ['memory_limit_mib', ['-m', '2g'], 'taken wrongly', undefined],
  ['memory_limit_mib', ['-m', '-5'], 'taken wrongly', undefined],
  ['memory_limit_mib', ['-m', '0'], 'refused', undefined],
  // More than the store can address.
  ['memory_limit_mib', ['-m', '2000000'], 'taken', undefined],
  ['conn_limit', ['-c 100'], 'taken', '100'],
  ['conn_limit', ['-c', '100\r'], 'taken', '100'],
  ['conn_limit', ['-c', '00100'], 'taken', '100'],
  ['conn_limit', ['-c', '1k'], 'taken wrongly', undefined],
  // Helm writes large numbers so; memcached reads 1.
  ['conn_limit', ['-c', '1e+06'], 'taken wrongly', undefined],
  ['conn_limit', ['-c', '0'], 'refused', undefined],
  ['conn_limit', ['-c', '2000000'], 'refused', undefined],
  ['threads', ['-t 2'], 'taken', '2'],
  ['threads', ['-t', '2,'], 'taken', '2'],
  ['threads', ['-t', '+2'], 'taken', '2'],
  ['threads', ['-t', '2.5'], 'taken wrongly', undefined],
  ['threads', ['-t', '0'], 'refused', undefined],
  ['max_reqs_per_event', ['-R', ' 20 '], 'taken', '20'],
  ['max_reqs_per_event', ['-R', '5000000'], 'taken', '5000000'],
  ['max_reqs_per_event', ['-R', '0'], 'refused', undefined],
  ['listen_backlog', ['-b', ' 2048\n'], 'taken', '2048'],
  ['listen_backlog', ['-b', '100000'], 'taken', '100000'],
  ['listen_backlog', ['-b', '0'], 'taken', '0'],
  // The system takes it for the longest queue there may be.
  ['listen_backlog', ['-b', '-1'], 'taken wrongly', undefined],
  ['max_item_size', ['-I 1m'], 'taken', '"1m"'],
  ['max_item_size', ['-I', '+2m'], 'taken', '"2m"'],
  ['max_item_size', ['-I', '02m'], 'taken', '"2m"'],
  ['max_item_size', ['-I', '1048576'], 'taken', '"1m"'],
  ['max_item_size', ['-I', '1m '], 'refused', '"1m"'],
  ['max_item_size', ['-I', '1M,'], 'refused', '"1m"'],
  ['max_item_size', ['-I', '1mb'], 'refused', undefined],
  ['max_item_size', ['-I', '1.5m'], 'taken wrongly', undefined],
  // Of these two, memcached's reason are its slabs; with -o slab_chunk_max=1 it takes the second.
  ['max_item_size', ['-I', '1000000'], 'refused', '"1000000"'],
  ['max_item_size', ['-I', '1k', '-m', '1'], 'refused', '"1k"'],
  ['max_item_size', ['-I', '512k', '-m', '1'], 'taken', '"512k"'],
  ['max_item_size', ['-I', '513k', '-m', '1'], 'refused', undefined],
  ['unix_mask', ['-a', ' 0770'], 'taken', '"770"'],
  ['unix_mask', ['-a', '00770'], 'taken', '"770"'],
  ['unix_mask', ['-a', '+770 '], 'taken', '"770"'],
  ['unix_mask', ['-a', '1777'], 'taken wrongly', undefined],
  ['unix_mask', ['-a', '999'], 'taken wrongly', undefined],
  ['unix_socket', ['-s /run/x.sock'], 'taken', '"/run/x.sock"'],
  ['unix_socket', ['-s', '/run/x.sock\r\n'], 'taken wrongly', '"/run/x.sock"'],
  ['unix_socket', ['-s', ''], 'taken wrongly', undefined],
  ['run_as_user', ['-u nobody'], 'taken', '"nobody"'],
  ['pidfile', ['-P /run/x.pid'], 'taken', '"/run/x.pid"'],
  ['protocol', ['-B auto'], 'taken', '"auto"'],
  ['protocol', ['-B', 'binary '], 'refused', '"binary"'],
  ['protocol', ['-B', 'AUTO'], 'refused', undefined],
  ['prefix_delimiter', ['-D :'], 'taken', '":"'],
  ['prefix_delimiter', ['-D', '::'], 'taken', '":"'],
  ['prefix_delimiter', ['-D', ' '], 'refused', undefined],
  ['prefix_delimiter', ['-D', 'ab'], 'taken wrongly', undefined],
  ['prefix_delimiter', ['-D', ': '], 'taken', '":"'],
  ['udp_port', ['-U 0'], 'taken', '0'],
  ['udp_port', ['-U', '00'], 'taken', '0'],
  ['listen', ['-l 127.0.0.1'], 'taken', '["127.0.0.1"]'],
  ['listen', ['-l', '127.0.0.1,'], 'taken', '["127.0.0.1"]'],
  ['listen', ['-l', ',,127.0.0.1;'], 'taken', '["127.0.0.1"]'],
  ['listen', ['-l', '127.0.0.1 '], 'refused', '["127.0.0.1"]'],
  ['listen', ['-l', '127.0.0.1, ::1'], 'refused', '["127.0.0.1", "::1"]'],
  ['listen', ['-l', '127.0.0.1: 22411'], 'taken', '["127.0.0.1: 22411"]'],
  ['listen', ['-l', '127.0.0.1:+022411'], 'taken', '["127.0.0.1:+022411"]'],
  // It listens nowhere, and says nothing.
  ['listen', ['-l', ''], 'taken wrongly', undefined],
  ['listen', ['-l', ','], 'taken wrongly', undefined],
  // 10.0.0.1 and 10.0.0.8.
  ['listen', ['-l', '10.1'], 'taken wrongly', undefined],
  ['listen', ['-l', '10.0.0.010'], 'taken wrongly', undefined],
  ['listen', ['-l', '127.0.0.1:22411 x'], 'taken wrongly', undefined],
  ['listen', ['-l', '127.0.0.1:'], 'refused', undefined],
  ['idle_timeout_seconds', ['-o', 'idle_timeout= 60'], 'taken', '60'],
  ['idle_timeout_seconds', ['-o idle_timeout=60 ,'], 'taken', '60'],
  ['idle_timeout_seconds', ['-o', 'idle_timeout=+0060'], 'taken', '60'],
  ['idle_timeout_seconds', ['-o', 'idle_timeout=100000000'], 'taken', '100000000'],
  ['idle_timeout_seconds', ['-o', 'idle_timeout=60s'], 'taken wrongly', undefined],
  ['idle_timeout_seconds', ['-o', 'idle_timeout=-1'], 'taken wrongly', undefined],
  ['watcher_logbuf_kib', ['-o', 'watcher_logbuf_size= 0512'], 'taken', '512'],
  ['watcher_logbuf_kib', ['-o', 'watcher_logbuf_size=512k'], 'refused', undefined],
  // A watcher would get 128 MiB of memory.
  ['watcher_logbuf_kib', ['-o', 'watcher_logbuf_size=131072'], 'taken', undefined],
  ['worker_logbuf_kib', ['-o', 'worker_logbuf_size=0'], 'taken', undefined],
  ['idle_timeout_seconds', ['-o', 'idle_timeout=60,,modern'], 'refused', undefined],
  ['idle_timeout_seconds', ['-o', ',idle_timeout=60'], 'refused', undefined],
]

test.each(VALUES)('%s by %j, %s there: %s here', async (option, argv, _reference, ours) => {
  const { exitCode, out, err } = await run([...argv, '--print-config'])
  const shown = new RegExp(`^${option} = (.*?) +# -`, 'm').exec(out)?.[1]
  expect({ exitCode, shown, err: exitCode === 0 ? err : '' }).toEqual({
    exitCode: ours === undefined ? 78 : 0,
    shown: ours,
    err: '',
  })
  // A refusal shows the value and says what is taken.
  if (ours === undefined) expect(err).toMatch(/^saslcached: 1 problem\n {2}-.*: .{12,}\n$/)
})

test('what memcached takes rightly is refused only where it cannot be had here', () => {
  const refused = VALUES.filter(([, , reference, ours]) => reference === 'taken' && !ours)
  expect(refused.map(([, argv]) => argv.at(-1))).toEqual([
    '2000000',
    'watcher_logbuf_size=131072',
    'worker_logbuf_size=0',
  ])
})

test.each(['', ' ', ',', '\r\n'])('-o %j says nothing and does no harm, as there', async (list) => {
  const { exitCode, err } = await run(['-o', list, '--check-config'])
  expect([exitCode, /-o/.test(err)]).toEqual(list === ',' ? [78, true] : [0, false])
})

test('all flags of memcached as one argument each, as charts write them', async () => {
  const argv = ['-p 11211', '-m 128', '-c 2048', '-I 2m', '-t 2', '-v', '-o modern', '-u nobody']
  const { exitCode, out } = await run([...argv, '--print-config'])
  expect(exitCode).toBe(0)
  const shown = [...out.matchAll(/^(\w+) = (\S+) +# -/gm)].map(([, name, value]) => [name, value])
  expect(Object.fromEntries(shown)).toEqual({
    port: '11211',
    memory_limit_mib: '128',
    max_item_size: '"2m"',
    conn_limit: '2048',
    threads: '2',
    run_as_user: '"nobody"',
    verbose: '1',
  })
})

test.each([
  ['SASLCACHED_PORT', '22411\r', 'port', '22411'],
  ['MEMCACHED_CACHE_SIZE', ' 128m\n', 'memory_limit_mib', '128'],
  ['MEMCACHED_MAX_ITEM_SIZE', '02097152\r\n', 'max_item_size', '"2m"'],
  ['MEMCACHED_LISTEN_ADDRESS', '127.0.0.1,\r', 'listen', '["127.0.0.1"]'],
  ['SASLCACHED_NO_AUTH', ' true\r', 'no_auth', 'true'],
  ['SASLCACHED_LOG_LEVEL', 'warn\r\n', 'log_level', '"warn"'],
  ['SASLCACHED_PIDFILE', '/run/x.pid\r', 'pidfile', '"/run/x.pid"'],
  [
    'SASLCACHED_MECHANISMS',
    'PLAIN, SCRAM-SHA-256,\r\n',
    'mechanisms',
    '["PLAIN", "SCRAM-SHA-256"]',
  ],
])(
  '%s=%j out of a file with line ends of its own is %s = %s',
  async (name, value, option, ours) => {
    const { exitCode, out } = await run(['--print-config'], { environment: { [name]: value } })
    expect(exitCode).toBe(0)
    expect(new RegExp(`^${option} = (.*?) +# ${name}$`, 'm').exec(out)?.[1]).toBe(ours)
  },
)
