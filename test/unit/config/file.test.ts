import { expect, test } from 'vitest'
import { readOptionsFile } from '../../../src/config/file.ts'
import { type ConfigProblem, formatProblems } from '../../../src/config/problem.ts'

function read(text: string): { values: unknown[]; problems: string[] } {
  const problems: ConfigProblem[] = []
  const values = readOptionsFile('f', text, problems)
  return {
    values: values.map(({ option, value, where }) => [option, value, where]),
    problems: problems.length === 0 ? [] : formatProblems(problems).split('\n'),
  }
}

test('each value is found with its line, in tables, dotted keys, inline tables and quotes', () => {
  const text = [
    'network.port = 1',
    'memory = { memory_limit_mib = 128 }',
    '',
    '[ "limits" ] # comment',
    '  "conn_limit" = 5',
    "'login_attempts' = 2",
    '[authentication]',
    'mechanisms = [',
    '  "PLAIN", # one a line',
    ']',
    'users_file = """\\',
    'login_timeout_seconds = 3\\',
    '"""',
    'auth_file = "x"',
  ].join('\r\n')
  expect(read(text)).toEqual({
    values: [
      ['port', 1, 'f:1'],
      ['memory_limit_mib', 128, 'f:2'],
      ['conn_limit', 5, 'f:5'],
      ['login_attempts', 2, 'f:6'],
      ['mechanisms', ['PLAIN'], 'f:8'],
      ['users_file', 'login_timeout_seconds = 3', 'f:11'],
      ['auth_file', 'x', 'f:14'],
    ],
    problems: [],
  })
})

test('a syntax error names its line and nothing of the file', () => {
  expect(read('[network]\nport = = 1\n')).toEqual({
    values: [],
    problems: [expect.stringMatching(/^f:2: is not TOML: [^=]+$/)],
  })
})

test.each([
  ['[network]\nport = 11211x\n', 'the value of port is a text in quotation marks'],
  ['[memory]\nmemory_limit_mib = 64m\n', 'without a unit'],
  ['[network]\nport 11211\n', 'a setting is a line NAME = VALUE'],
  ['[network\n', 'a table is [name]'],
])('a syntax error says what was expected: %j', (text, expected) => {
  expect(read(text).problems).toEqual([expect.stringContaining(expected)])
})

test('a key given twice is a syntax error', () => {
  expect(read('[network]\nport = 1\nport = 2\n').problems).toEqual([
    expect.stringMatching(/^f:3: is not TOML: /),
  ])
})

test('unknown and misplaced names say where they belong or what was meant', () => {
  const text = [
    'port = 1',
    'colour = "red"',
    'network = 1',
    '[memory]',
    'conn_limit = 1',
    'memory_limit = 64',
    'toString = 1',
    '[limit]',
    '[[log]]',
    '[constructor]',
  ].join('\n')
  expect(read(text)).toEqual({
    values: [],
    problems: [
      'f:1: port belongs under [network]',
      'f:2: colour is not an option',
      'f:3: network is not a table: write [network]',
      'f:5: conn_limit belongs under [limits]',
      'f:6: memory_limit is not an option; did you mean memory_limit_mib?',
      'f:7: toString is not an option',
      'f:8: [limit] is not a table of options; did you mean [limits]?',
      'f:9: log is not a table: write [log]',
      'f:10: [constructor] is not a table of options',
    ],
  })
})

test('a name that leaves out what its table says is found', () => {
  const { problems } = read('[memory]\nlimit = "64"\n[tls]\nkey_password = "x"\n[log]\nx = 1\n')
  expect(problems).toEqual([
    'f:2: limit is not an option; did you mean memory_limit_mib?',
    'f:4: key_password is not an option; did you mean tls_key_password_file?',
    'f:6: x is not an option',
  ])
})

test('a value of the wrong type is refused with what is allowed', () => {
  const text = [
    '[network]',
    'port = "11211"',
    'unix_mask = 700',
    'listen = ["a", 1]',
    'protocol = 1979-05-27',
    '[memory]',
    'memory_limit_mib = 1.5',
    'disable_cas = "yes"',
    'max_item_size = 1.5',
    '[limits]',
    'login_timeout_seconds = nan',
    'idle_timeout_seconds = 0.5',
    `prelogin_request_size = "${'9'.repeat(100)}"`,
    '[process]',
    'threads = "all"',
    'pidfile = 1',
    'run_as_user = "cache\\n"',
    '[log]',
    'verbose = true',
    'prefix_delimiter = "ab"',
  ].join('\n')
  expect(read(text)).toEqual({
    values: [],
    problems: [
      'f:2: port = "11211" is not a whole number from -1 to 65535',
      'f:3: unix_mask = 700 is not a mode in octal from 0 to 777 in quotes, such as "700"',
      'f:4: listen = ["a",1] is not a list of addresses',
      'f:5: protocol = 1979-05-27 is not one of auto, binary, ascii',
      'f:7: memory_limit_mib = 1.5 is not a whole number from 1 to 65536',
      'f:8: disable_cas = "yes" is not true or false',
      'f:9: max_item_size = 1.5 is not a size from 1k to 1024m (bytes, or with suffix k, m or g)',
      'f:11: login_timeout_seconds = NaN is not a number of seconds from 0.1 to 86400',
      'f:12: idle_timeout_seconds = 0.5 is not a number of seconds from 1 to 2147483647, or 0 for none',
      `f:13: prelogin_request_size = "${'9'.repeat(59)}... is not a size from 4k to 16m (bytes, or with suffix k, m or g)`,
      'f:15: threads = "all" is not a whole number from 1 to 256, or auto',
      'f:16: pidfile = 1 is not a path',
      'f:17: run_as_user = "cache\\n" has a control character in it',
      'f:19: verbose = true is not a whole number from 0 to 3',
      'f:20: prefix_delimiter = "ab" is not one visible ASCII character',
    ],
  })
})
