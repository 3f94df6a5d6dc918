/**
 * A function is read in one look: at most 70 lines, head and last brace included. Longer ones are
 * listed with the reason; the list may only become shorter, and its functions no longer.
 */
import { expect, test } from 'vitest'
import { type FunctionLength, functionsOf, sourceFiles } from './sources.ts'

const LINES_MAX = 70

interface Allowed {
  readonly lineCount: number
  readonly why: string
}

const SWITCH = 'one switch, a case for each verb or flag'
const TABLE = 'a table, a line for each row'

const ALLOWED: Readonly<Record<string, Allowed>> = {
  'protocol/binary/decode.ts decodeBinaryBody': { lineCount: 94, why: SWITCH },
  'protocol/binary/encode.ts writeBinaryResponse': { lineCount: 117, why: SWITCH },
  'protocol/meta/decode.ts decodeFlags': { lineCount: 109, why: SWITCH },
  'protocol/meta/encode.ts writeFlags': { lineCount: 76, why: SWITCH },
  'protocol/text/decode.ts decodeLine': { lineCount: 74, why: SWITCH },
  'server/main/settings-rows.ts settingsRows': { lineCount: 86, why: TABLE },
  'storage/record-fate.ts meet': {
    lineCount: 95,
    why: 'fields of a record are hoisted into locals',
  },
}

function tooLong(functions: readonly FunctionLength[]): string[] {
  return functions.flatMap(({ name, line, lineCount }) => {
    const linesMax = ALLOWED[name]?.lineCount ?? LINES_MAX
    const [path] = name.split(' ')
    return lineCount <= linesMax
      ? []
      : [`src/${path}:${line}: ${name} has ${lineCount} lines, ${linesMax} are allowed: divide it`]
  })
}

test('functions have at most 70 lines, or a reason', () => {
  expect(tooLong(sourceFiles().flatMap(functionsOf))).toEqual([])
})

test('no function that is short enough, or gone, is in the list', () => {
  const functions = sourceFiles().flatMap(functionsOf)
  const long = functions.filter(({ lineCount }) => lineCount > LINES_MAX).map(({ name }) => name)
  expect(Object.keys(ALLOWED).filter((name) => !long.includes(name))).toEqual([])
})

test('the checker finds functions, methods and callbacks, with heads of one line or more', () => {
  const text = [
    'export async function one(): Promise<void> {',
    '  if (x) {',
    '    y()',
    '  }',
    '}',
    'class Two {',
    '  private two(',
    '    a: number,',
    '  ): void {',
    '    z(',
    '      a,',
    '    )',
    '  }',
    '',
    '  get #three() {',
    '    return 1',
    '  }',
    '}',
    'const four = (): void => {',
    '',
    '}',
    'setTimeout(() => {',
    '  x()',
    '}, 1)',
    'five(',
    '  1,',
    ')',
  ].join('\n')
  expect(functionsOf({ path: 'a.ts', text })).toEqual([
    { name: 'a.ts one', line: 1, lineCount: 5 },
    { name: 'a.ts two', line: 7, lineCount: 7 },
    { name: 'a.ts #three', line: 15, lineCount: 3 },
    { name: 'a.ts four', line: 19, lineCount: 3 },
    { name: 'a.ts setTimeout', line: 22, lineCount: 3 },
  ])
})
