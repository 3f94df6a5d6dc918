/**
 * The benchmark's own tests. A generator that overlooks wrong replies would make a wrong server look
 * fast, so each lie a server can tell is told here by a small one of our own, in every dialect, and
 * the generator must refuse it. No figure is tested: machines differ.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CASES, casesOf, SETS } from './cases.mjs'
import { answerText, withServer } from './fake-server.mjs'
import { COMPILER, compileGenerator, generatorArguments } from './generator.mjs'
import {
  figuresOf,
  formatTable,
  isReached,
  median,
  medians,
  ratioOf,
  rowsOf,
  verdictOf,
} from './report.mjs'
import { outputOf } from './servers.mjs'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)

/** A random number generator of its own, so that a failing run can be repeated with SEED=. */
function randomFrom(seed) {
  let state = seed >>> 0 || 1
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
}

function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

let folder
let program

function generate(load, onStart = (_pid) => {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, generatorArguments(load), { stdio: ['ignore', 'pipe', 'pipe'] })
    onStart(child.pid)
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (text) => {
      stdout += text
    })
    child.stderr.on('data', (text) => {
      stderr += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      const printed = stdout.startsWith('{"requests"') ? JSON.parse(stdout) : null
      resolve({ code, printed, stdout, stderr })
    })
  })
}

const DIALECTS = ['binary', 'text', 'meta']

/** A short load: 40 keys, three connections, batches of seven. */
const SHORT = {
  connections: 3,
  pipeline: 7,
  keys: 40,
  valueBytes: 50,
  warmup: 0,
  requests: 500,
  prefill: true,
  missesFail: true,
}

describe.skipIf(outputOf(COMPILER, '--version') === null)('the load generator', () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'saslcached-bench-test-'))
    program = compileGenerator(folder)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test.each(DIALECTS)('counts every request to a server that answers right (%s)', (dialect) =>
    withServer({}, async (port) => {
      const { code, printed, stderr } = await generate({ ...SHORT, port, dialect })
      expect(stderr).toBe('')
      expect(code).toBe(0)
      expect(printed.requests).toBeGreaterThanOrEqual(500)
      expect(printed.hits + printed.stores).toBe(printed.requests)
      expect(printed.misses + printed.errors).toBe(0)
      expect(printed.stores).toBeGreaterThan(0)
      const { p50, p99, p999, max } = printed.latencyUs
      expect([p50, p99, p999, max]).toEqual([p50, p99, p999, max].sort((a, b) => a - b))
      expect(p50).toBeGreaterThan(0)
    }),
  )

  test.each(DIALECTS)('understands replies cut at any place (%s)', (dialect) => {
    console.log(`SEED=${SEED}`)
    const random = randomFrom(SEED)
    return withServer({ pieceBytes: () => 1 + random(30) }, async (port) => {
      const { code, stderr } = await generate({ ...SHORT, port, dialect })
      expect(stderr).toBe('')
      expect(code).toBe(0)
    })
  })

  const MULTI = { multi: true, ratio: '1:0' }

  test.each(['text', 'meta'])('asks for many keys in one request (%s)', (dialect) => {
    console.log(`SEED=${SEED}`)
    const random = randomFrom(SEED)
    const lines = []
    const spoil = (reply, request) => {
      if (!request.isSet) lines.push(request.line)
      return reply
    }
    return withServer({ spoil, pieceBytes: () => 1 + random(300) }, async (port) => {
      const { code, printed, stderr } = await generate({ ...SHORT, ...MULTI, port, dialect })
      expect(stderr).toBe('')
      expect(code).toBe(0)
      expect(printed.hits).toBe(printed.requests)
      if (dialect === 'text') {
        expect(new Set(lines.map((line) => line.split(' ').length))).toEqual(new Set([8]))
      } else {
        expect(lines.filter((line) => line === 'mn')).toHaveLength(lines.length / 8)
        expect(lines.filter((line) => / q O[0-9a-f]{8}$/.test(line))).toHaveLength(
          (lines.length / 8) * 7,
        )
      }
    })
  })

  test.each([
    ['text', 'a key that is left out', (line) => line.replace(/ key-\S+/, ''), /unexpected line/],
    [
      'text',
      'keys in another order',
      (line) => line.replace(/ (\S+) (\S+)/, ' $2 $1'),
      /unexpected line/,
    ],
    ['text', 'an end of another kind', () => 'mn', /unexpected line/],
    ['meta', 'another end', () => 'get', /wrong end of a batch/],
  ])('%s: of a request for many keys refuses %s', (dialect, _lie, change, words) => {
    const isLast = (request) => !request.isSet && /^get|^mn/.test(request.line)
    let seen = 0
    const items = new Map()
    const spoil = (reply, request) => {
      if (request.isSet) answerText(items, request.line, request.value)
      if (!isLast(request) || seen++ !== 20) return reply
      return answerText(items, change(request.line), Buffer.alloc(0))
    }
    return withServer({ spoil }, async (port) => {
      const load = { ...SHORT, ...MULTI, port, dialect, keys: 4000, requests: 20_000 }
      const { code, stderr } = await generate(load)
      expect(stderr).toMatch(words)
      expect(code).toBe(1)
    })
  })

  test.each(DIALECTS)('takes empty values and values larger than one read (%s)', (dialect) =>
    withServer({}, async (port) => {
      for (const valueBytes of [0, 700_000]) {
        const load = { ...SHORT, port, dialect, valueBytes, keys: 3, pipeline: 2, requests: 30 }
        const { code, printed, stderr } = await generate(load)
        expect(stderr).toBe('')
        expect(code).toBe(0)
        expect(printed.hits).toBeGreaterThan(0)
      }
    }),
  )

  test.each(DIALECTS)('a get that misses is counted, and fails the run on demand (%s)', (dialect) =>
    withServer({ forgets: true }, async (port) => {
      const load = { ...SHORT, port, dialect, missesFail: false }
      const lenient = await generate(load)
      expect(lenient.code).toBe(0)
      expect(lenient.printed.misses).toBeGreaterThan(0)
      expect(lenient.printed.hits).toBe(0)
      const strict = await generate({ ...load, missesFail: true })
      expect(strict.code).toBe(1)
      expect(strict.stderr).toMatch(/gets missed a key that was set/)
    }),
  )

  // Each lie is told once, in the 300th reply, which is after the prefill.
  const change = (at, difference) => (reply) => {
    const changed = Buffer.from(reply)
    const index = at < 0 ? changed.length + at : at
    changed[index] = changed[index] ^ difference
    return changed
  }
  const isHit = (reply, request) => !request.isSet && reply.length > 60
  const lies = [
    ['binary', 'another magic', change(0, 0x01), /wrong magic/],
    ['binary', 'another opcode', change(1, 0x04), /wrong opcode/],
    ['binary', 'a key that nobody asked for', change(3, 0x01), /a key that was not asked for/],
    ['binary', 'another opaque', change(15, 0x01), /wrong opaque/],
    ['binary', 'a body length one too high', change(11, 0x01), /wrong length/],
    ['binary', 'other flags', change(27, 0x01), /flags of another key/],
    ['binary', 'one other bit in the value', change(-1, 0x80), /wrong value bytes/],
    ['binary', 'a closed connection', () => null, /closed by the server/],
    ['text', 'another key', change(10, 0x01), /unexpected line/],
    ['text', 'one other bit in the value', change(-8, 0x80), /wrong value bytes/],
    ['text', 'another end', change(-3, 0x01), /wrong end/],
    ['text', 'an error', () => Buffer.from('SERVER_ERROR busy\r\n'), /unexpected line/],
    ['text', 'a closed connection', () => null, /closed by the server/],
    ['meta', 'another opaque', (r) => change(r.indexOf(' O') + 9, 0x01)(r), /unexpected line/],
    ['meta', 'other flags', (r) => change(r.indexOf(' f') + 3, 0x01)(r), /unexpected line/],
    ['meta', 'one other bit in the value', change(-3, 0x80), /wrong value bytes/],
    ['meta', 'a closed connection', () => null, /closed by the server/],
  ]

  test.each(lies)('%s: refuses %s', (dialect, _lie, tell, words) => {
    let isTold = false
    const spoil = (reply, request, number) => {
      if (isTold || number < 300 || !isHit(reply, request)) return reply
      isTold = true
      return tell(reply)
    }
    return withServer({ spoil }, async (port) => {
      const { code, stderr } = await generate({ ...SHORT, port, dialect, requests: 2000 })
      expect(isTold).toBe(true)
      expect(stderr).toMatch(words)
      expect(code).toBe(1)
    })
  })

  const refuseOne = (reply, _request, number) => {
    if (number !== 300) return reply
    const body = Buffer.from('Out of memory')
    const header = Buffer.from(reply.subarray(0, 24))
    header[4] = 0
    header.writeUInt16BE(0x82, 6)
    header.writeUInt32BE(body.length, 8)
    return Buffer.concat([header, body])
  }

  test('an error status in sync is counted and fails the run at its end', () =>
    withServer({ spoil: refuseOne }, async (port) => {
      const { code, printed, stderr } = await generate({ ...SHORT, port, dialect: 'binary' })
      expect(code).toBe(1)
      expect([printed.errors, printed.refusals]).toEqual([1, 0])
      expect(stderr).toMatch(/error status 0x82/)
    }))

  test('a refusal for want of memory is only counted where it is to be expected', () =>
    withServer({ spoil: refuseOne }, async (port) => {
      const load = { ...SHORT, port, dialect: 'binary', mayRefuse: true }
      const { code, printed } = await generate(load)
      expect(code).toBe(0)
      expect([printed.errors, printed.refusals]).toEqual([0, 1])
    }))

  test('bytes after the last reply asked for are refused', () => {
    const spoil = (reply, _request, number) =>
      number === 300 ? Buffer.concat([reply, Buffer.from('x')]) : reply
    return withServer({ spoil }, async (port) => {
      const load = { ...SHORT, port, dialect: 'binary', connections: 1, pipeline: 1 }
      const { code, stderr } = await generate(load)
      expect(code).toBe(1)
      expect(stderr).toMatch(/more bytes than replies asked for|wrong magic/)
    })
  })

  test('a byte changed anywhere in a long value is found before sixteen more replies', () => {
    let spoiled = 0
    const spoil = (reply, request) => {
      if (request.isSet || reply.length < 20_000) return reply
      spoiled++
      return change(10_000, 0x01)(reply)
    }
    return withServer({ spoil }, async (port) => {
      const load = { ...SHORT, port, dialect: 'binary', valueBytes: 20_000, pipeline: 1 }
      const { code, stderr } = await generate({ ...load, connections: 1 })
      expect(code).toBe(1)
      expect(stderr).toMatch(/wrong value bytes/)
      expect(spoiled).toBeLessThanOrEqual(16)
    })
  })

  test('a server that falls silent ends the run', () => {
    const spoil = (reply, _request, number) => (number > 100 ? Buffer.alloc(0) : reply)
    return withServer({ spoil }, async (port) => {
      const { code, stderr } = await generate({ ...SHORT, port, stallLimit: 1 })
      expect(code).toBe(1)
      expect(stderr).toMatch(/no reply for 1 seconds/)
    })
  })

  test.each(['load', 'login'])('while it does not run itself nobody is silent (%s)', (mode) => {
    let generator
    let isAsked = false
    const spoil = (reply, _request, number) => {
      if (number < 20 || isAsked) return reply
      isAsked = true
      process.kill(generator, 'SIGSTOP')
      sleep(1500)
      process.kill(generator, 'SIGCONT')
      // It looks, and nothing is there.
      sleep(300)
      return reply
    }
    return withServer({ spoil }, async (port) => {
      const user = { user: 'bench', password: 'word' }
      const load = { ...SHORT, ...user, port, mode, stallLimit: 1 }
      const { code, stderr } = await generate(load, (pid) => {
        generator = pid
      })
      expect([code, stderr]).toEqual([0, ''])
      expect(isAsked).toBe(true)
    })
  })

  test.each(DIALECTS)('logs in before the load, and counts logins (%s)', (dialect) =>
    withServer({}, async (port) => {
      const user = { user: 'bench', password: 'word' }
      const load = await generate({ ...SHORT, ...user, port, dialect })
      expect(load).toMatchObject({ code: 0, stderr: '' })
      const logins = await generate({
        ...user,
        port,
        dialect,
        mode: 'login',
        connections: 5,
        warmup: 0,
        requests: 60,
        list: dialect === 'binary',
      })
      expect(logins).toMatchObject({ code: 0, stderr: '', printed: { requests: 60 } })
    }),
  )

  test.each(DIALECTS)('a refused login ends the run (%s)', (dialect) =>
    withServer({}, async (port) => {
      for (const mode of ['load', 'login', 'idle']) {
        const wrong = { user: 'bench', password: 'sword', port, dialect, mode, seconds: 0.1 }
        const { code, stderr } = await generate(wrong)
        expect(code).toBe(1)
        expect(stderr).toMatch(/login refused/)
      }
    }),
  )

  test('holds idle connections and reports the memory and CPU of the process named', () =>
    withServer({}, async (port) => {
      const idle = { port, mode: 'idle', connections: 20, seconds: 0.1, serverPid: process.pid }
      const { code, printed } = await generate(idle)
      expect(code).toBe(0)
      expect(printed.serverRssKib).toBeGreaterThan(1024)
      expect(printed.serverCpuSeconds).toBeGreaterThanOrEqual(0)
    }))

  test('a fixed rate is kept, and is not the rate of replies', () =>
    withServer({}, async (port) => {
      const load = { ...SHORT, port, pipeline: 1, rate: 400, requests: 100 }
      const { code, printed } = await generate(load)
      expect(code).toBe(0)
      // Replies would come at thousands a second; how far behind 400 a busy machine falls is its own affair.
      expect(printed.requestsPerSecond).toBeGreaterThan(5)
      expect(printed.requestsPerSecond).toBeLessThan(1000)
    }))

  test('at a fixed rate a stall counts for every request that came due in it', () => {
    const spoil = (reply, _request, number) => {
      if (number === 100) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
      return reply
    }
    return withServer({ spoil }, async (port) => {
      const load = { ...SHORT, port, pipeline: 1, rate: 400, requests: 300 }
      const { code, printed } = await generate(load)
      expect(code).toBe(0)
      // Some 120 of 300 come due in 300 ms. Were only the three counted that were under way, the mean
      // would be 3 ms.
      expect(printed.latencyUs.mean).toBeGreaterThan(20_000)
      expect(printed.latencyUs.max).toBeGreaterThan(290_000)
    })
  })

  /** Both servers are this process, whose time it is then. */
  const SLICES = {
    ...SHORT,
    mode: 'slices',
    serverPid: process.pid,
    otherPid: process.pid,
    sliceRequests: 40,
  }

  test('two servers take turns, and each is asked the same in a pair', () => {
    const asked = []
    const spoilOf = (side) => (reply, request) => {
      asked.push({ side, line: request.line })
      return reply
    }
    return withServer({ spoil: spoilOf('first') }, (port) =>
      withServer({ spoil: spoilOf('other') }, async (otherPort) => {
        const load = { ...SLICES, port, otherPort, dialect: 'text' }
        const { code, printed, stderr } = await generate(load)
        expect(stderr).toBe('')
        expect(code).toBe(0)
        // 500 requests: six pairs of turns of 40 are 480.
        expect(printed.turns).toHaveLength(7)
        expect(printed.requests).toBe(560)
        for (const turn of printed.turns) expect(Math.min(...turn)).toBeGreaterThan(0)
        const turns = asked.slice(2 * SHORT.keys)
        for (let pair = 0; pair < 7; pair++) {
          const [first, other] = pair % 2 === 0 ? ['first', 'other'] : ['other', 'first']
          const linesOf = (side, from) => {
            const turn = turns.slice(80 * pair + from, 80 * pair + from + 40)
            expect(turn.map((each) => each.side)).toEqual(Array(40).fill(side))
            return turn.map(({ line }) => line).sort()
          }
          expect(linesOf(first, 0)).toEqual(linesOf(other, 40))
        }
      }),
    )
  })

  test('two users of one server take turns', () =>
    withServer({}, async (port) => {
      const login = { user: 'bench', password: 'word', otherUser: 'bench' }
      const load = { ...SLICES, ...login, port, otherPort: port }
      expect((await generate(load)).code).toBe(0)
      const { code, stderr } = await generate({ ...load, otherUser: 'nobody' })
      expect(code).toBe(1)
      expect(stderr).toMatch(/login refused/)
    }))

  test('a wrong reply of the other server ends the run', () => {
    const spoil = (reply, request, number) =>
      request.isSet || number < 200 ? reply : Buffer.from('END\r\nEND\r\n')
    return withServer({}, (port) =>
      withServer({ spoil }, async (otherPort) => {
        const load = { ...SLICES, port, otherPort, dialect: 'text' }
        const { code, stderr } = await generate(load)
        expect(code).toBe(1)
        expect(stderr).toMatch(/more bytes than replies asked for|unexpected line/)
      }),
    )
  })

  test.each([
    [{ mode: 'slices' }, /--mode slices needs/],
    [{ mode: 'slices', serverPid: 1, otherPid: 1, otherPort: 1, rate: 5 }, /not for --mode slices/],
    [{ otherUser: 'bench' }, /--other-user is for/],
    [{ connections: 0 }, /--connections 0/],
    [{ ratio: '10' }, /--ratio 10/],
    [{ dialect: 'ascii' }, /--dialect ascii: not one of binary, text, meta/],
    [{ seconds: 'x' }, /--seconds x/],
    [{ user: 'bench' }, /--user and --password/],
    [{ mode: 'login' }, /--mode login needs --user/],
    [{ multi: true, dialect: 'text' }, /--multi is for gets only/],
    [{ multi: true, ratio: '1:0' }, /--multi is for gets only/],
  ])('a wrong option %o is named, with exit code 2', async (load, words) => {
    const { code, stderr } = await generate(load)
    expect(code).toBe(2)
    expect(stderr).toMatch(words)
  })
})

describe('the harness', () => {
  const harness = (...parameters) => {
    try {
      const script = join(import.meta.dirname, 'run.mjs')
      const stdout = execFileSync(process.execPath, [script, ...parameters], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      return { code: 0, stdout, stderr: '' }
    } catch (error) {
      return { code: error.status, stdout: error.stdout, stderr: error.stderr }
    }
  }

  test.each([
    [['--rounds', 'many'], /--rounds many/],
    [['--only', 'no-such'], /--only no-such/],
    [['--set', 'no-such'], /--set no-such/],
    [['--servers', 'redis'], /--servers redis/],
    [['--no-such'], /--no-such/],
    [['--servers', 'memcached', '--memcached', '/no/such'], /No \/no\/such here/],
    [['--servers', 'saslcached', '--command', '/no/such'], /saslcached does not start/],
  ])('%o ends with exit code 2 and says why', (parameters, words) => {
    const { code, stderr } = harness(...parameters)
    expect(code).toBe(2)
    expect(stderr).toMatch(words)
  })

  test('--help shows every option that the harness takes', () => {
    const { code, stdout } = harness('--help')
    expect(code).toBe(0)
    for (const option of [
      'quick',
      'set',
      'only',
      'rounds',
      'seconds',
      'node',
      'json',
      'svg',
      'check',
    ]) {
      expect(stdout).toMatch(new RegExp(`--${option}\\b`))
    }
  })

  test('no two cases of a set have the same name, and every set has cases', () => {
    for (const set of SETS) {
      const names = casesOf(set, []).map((each) => each.name)
      expect(names.length).toBeGreaterThan(0)
      expect(new Set(names).size).toBe(names.length)
    }
  })

  test('a whole name means that case alone, a part of names means all that have it', () => {
    const names = (only) => casesOf('spine', only).map((each) => each.name)
    expect(names(['storm'])).toEqual(['login-storm'])
    expect(names(['binary-x1-100B-gets'])).toEqual(['binary-x1-100B-gets'])
    expect(names(['binary-x1-'])).toEqual(['binary-x1-100B-gets', 'binary-x1-100B-gets-login'])
  })

  test('every judge has one bound, and a load whose gets must hit does not evict at 256 MiB', () => {
    for (const { judges, load, memoryMib } of CASES) {
      expect(judges.length).toBeGreaterThan(0)
      for (const { most, least } of judges) {
        expect([most, least].filter((bound) => bound !== undefined)).toHaveLength(1)
      }
      if (load.keys !== undefined && load.missesFail) {
        expect(memoryMib).toBe(256)
        expect(load.keys * (load.valueBytes + 100)).toBeLessThan(128 * 1024 * 1024)
      }
    }
  })
})

describe('the report', () => {
  test('a median is the middle value, or the mean of the two in the middle', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(
      medians([
        { a: 1, b: 9 },
        { a: 5, b: 7 },
        { a: 3, b: 8 },
      ]),
    ).toEqual({ a: 3, b: 8 })
  })

  test('a ratio is taken within each round', () => {
    const ours = [{ cpuUs: 10 }, { cpuUs: 20 }, { cpuUs: 6 }]
    const theirs = [{ cpuUs: 10 }, { cpuUs: 10 }, { cpuUs: 4 }]
    expect(ratioOf(ours, theirs, 'cpuUs')).toEqual({ median: 1.5, least: 1, most: 2 })
  })

  test('a bound is reached at the bound and missed beyond it', () => {
    expect(isReached({ most: 1.25 }, 1.25)).toBe(true)
    expect(isReached({ most: 1.25 }, 1.26)).toBe(false)
    expect(isReached({ least: 1 }, 1)).toBe(true)
    expect(isReached({ least: 1 }, 0.99)).toBe(false)
    expect(isReached({ most: 1 }, null)).toBe(null)
  })

  test('a verdict holds the ratio or the own figure against the bound, and nothing without figures', () => {
    const ours = [{ cpuUs: 12 }, { cpuUs: 10 }]
    const theirs = [{ cpuUs: 10 }, { cpuUs: 10 }]
    const judge = { figure: 'cpuUs', of: 'ratio', most: 1.1 }
    expect(verdictOf(judge, ours, theirs)).toMatchObject({ value: 1.1, isReached: true })
    expect(verdictOf(judge, ours, null)).toMatchObject({ value: null, isReached: null })
    const own = { figure: 'cpuUs', of: 'value', most: 10 }
    expect(verdictOf(own, ours, null)).toMatchObject({ value: 11, isReached: false })
    expect(verdictOf(own, null, theirs)).toMatchObject({ value: null, isReached: null })
  })

  test('the table shows a missed target on the line of saslcached', () => {
    const round = figuresOf({
      requestsPerSecond: 123456.7,
      serverCpuUsPerRequest: 8.123,
      latencyUs: { p50: 400, p99: 1234.5, p999: 2345.6, max: 5000 },
      sendLateUs: 100,
      serverRssKib: 2048,
      serverCpuShare: 0.99,
      generatorCpuShare: 0.5,
    })
    const servers = ['memcached', 'saslcached'].map((name) => ({
      name,
      isJudged: name === 'saslcached',
      median: round,
    }))
    const ratio = { median: 1.3, least: 1.2, most: 1.4 }
    const verdicts = [
      { judge: { figure: 'cpuUs', of: 'ratio', most: 1.25 }, ratio, value: 1.3, isReached: false },
      { judge: { figure: 'latencyP999Us', of: 'ratio', most: 1.5 }, value: 1.4, isReached: true },
    ]
    const table = formatTable(rowsOf({ name: 'binary', servers, ratio, verdicts })).split('\n')
    expect(table).toHaveLength(4)
    expect(table[2]).toMatch(
      /^binary +memcached +123,457 +8\.12 +400 +1,235 +2,346 +5\.0 +2\.0 +99%\/50%$/,
    )
    expect(table[3]).toMatch(
      /^ +saslcached .* 1\.30 \(1\.20-1\.40\) .* CPU <= 1\.25 {2}MISSED; p99\.9 <= 1\.5 \(1\.40\) {2}reached$/,
    )
  })
})

test('the bench of the dialects without a socket runs, each case to its figure', () => {
  const env = { ...process.env, PASSES: '1' }
  const printed = execFileSync('node', ['test/bench/dialect.bench.mjs'], { env, encoding: 'utf8' })
  const figures = printed.trim().split('\n').slice(1)
  expect(figures.length).toBeGreaterThanOrEqual(8)
  for (const figure of figures) expect(figure).toMatch(/^ {2}\w[\w ,-]* +[1-9]\d*$/)
})

test.each([
  ['store.bench.mjs', ['1000'], /^1000 items, .* get [1-9]\d* .*\nfull 1000 items, /],
  ['store-bytes.mjs', ['100'], /^values of 100 bytes: [1-9]\d* items, /],
  [
    'store-threads.bench.mjs',
    [],
    /: one thread [1-9]\d* ns, with locks [1-9]\d* .*, two threads [1-9]/,
  ],
  [
    'store-miss-ratio.mjs',
    [
      ...['--workload', 'cluster29', '--memory', '8'],
      ...['--requests', '20000', '--warm', '10000'],
    ],
    /\ncluster29 +8 +0\.\d+ /,
  ],
])('%s, of the store alone, runs to its figures', (program, args, figures) => {
  // A round is longer than the kernel's tick (4 ms as a rule), or there are rounds in which a thread has taken no time by its account.
  const env = { ...process.env, OPERATIONS: '100000', KEYS: '1000', ROUNDS: '1', MIB: '8' }
  const path = `test/bench/${program}`
  expect(execFileSync('node', [path, ...args], { env, encoding: 'utf8' })).toMatch(figures)
})
