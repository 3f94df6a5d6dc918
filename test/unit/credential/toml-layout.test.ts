import { parse } from 'smol-toml'
import { expect, test } from 'vitest'
import { readTomlLayout, TomlLines } from '../../../src/credential/toml-layout.ts'

const DOCUMENT = `# a comment with [table] and key = "value"
top = 1 # trailing
"quoted \\" key" . 'literal' = [ 'a]', # inner ]
  "b\\"]", [1, 2], { x = "}" } ] # end
date = 1979-05-27 07:32:00   # blank inside
multi = """ one \\
[not.a.table]
x = 1 ""\\""" """
literal = '''
[neither]
'''''
empty = []

  [ users . "al ice" ]
  a.b.c = { d = "}", e = [ "]" ] }
[[list]]
k = true
`

test('every statement is found with its path, line and exact span', () => {
  parse(DOCUMENT)
  const found = readTomlLayout(DOCUMENT).map(({ kind, path, line, start, end }) => {
    return { kind, path: path.join('/'), line, text: DOCUMENT.slice(start, end) }
  })
  expect(found).toEqual([
    { kind: 'assignment', path: 'top', line: 2, text: 'top = 1' },
    {
      kind: 'assignment',
      path: 'quoted " key/literal',
      line: 3,
      text: DOCUMENT.slice(DOCUMENT.indexOf('"quoted'), DOCUMENT.indexOf(' # end')),
    },
    { kind: 'assignment', path: 'date', line: 5, text: 'date = 1979-05-27 07:32:00' },
    {
      kind: 'assignment',
      path: 'multi',
      line: 6,
      text: DOCUMENT.slice(DOCUMENT.indexOf('multi'), DOCUMENT.indexOf('\nliteral')),
    },
    {
      kind: 'assignment',
      path: 'literal',
      line: 9,
      text: DOCUMENT.slice(DOCUMENT.indexOf('literal = '), DOCUMENT.indexOf('\nempty')),
    },
    { kind: 'assignment', path: 'empty', line: 12, text: 'empty = []' },
    { kind: 'table', path: 'users/al ice', line: 14, text: '[ users . "al ice" ]' },
    {
      kind: 'assignment',
      path: 'users/al ice/a/b/c',
      line: 15,
      text: 'a.b.c = { d = "}", e = [ "]" ] }',
    },
    { kind: 'array-table', path: 'list', line: 16, text: '[[list]]' },
    { kind: 'assignment', path: 'list/k', line: 17, text: 'k = true' },
  ])
})

test('the values of an array have lines of their own', () => {
  const lines = new TomlLines(
    '[users.a]\nverifiers = ["one", # "no"\n  "two",\n\n  ["three"], "four"]\n',
  )
  const path = ['users', 'a', 'verifiers']
  expect([0, 1, 2, 3].map((index) => lines.find([...path, index]))).toEqual([2, 3, 5, 5])
})

test('what has no line of its own is found at what encloses it', () => {
  const lines = new TomlLines('\n[users]\nalice = { password = 3 }\n')
  expect(lines.find(['users', 'alice', 'password'])).toBe(3)
  expect(lines.find(['users', 'bob'])).toBe(2)
  expect(lines.find(['elsewhere'])).toBe(0)
})

test('line ends of Windows count once', () => {
  const lines = new TomlLines('a = 1\r\n\r\n[users]\r\nb = "x"\r\n')
  expect(lines.find(['users', 'b'])).toBe(4)
})
