/**
 * A file is a room with one reason: at most 500 lines. Longer ones are listed with what they have; the list may only become
 * shorter, and its files no longer.
 */
import { expect, test } from 'vitest'
import { type SourceFile, sourceFiles } from './sources.ts'

const LINES_MAX = 500

const ALLOWED: Readonly<Record<string, number>> = {}

function lineCount({ text }: SourceFile): number {
  return text.split('\n').length - 1
}

test('files have at most 500 lines, or those that they are known to have', () => {
  const tooLong = sourceFiles().flatMap((file) => {
    const linesMax = ALLOWED[file.path] ?? LINES_MAX
    const lines = lineCount(file)
    return lines <= linesMax
      ? []
      : [
          `src/${file.path}: ${lines} lines, ${linesMax} are allowed: give a part of it its own room`,
        ]
  })
  expect(tooLong).toEqual([])
})

test('no file that is short enough, or gone, is in the list', () => {
  const long = sourceFiles()
    .filter((file) => lineCount(file) > LINES_MAX)
    .map(({ path }) => path)
  expect(Object.keys(ALLOWED).filter((path) => !long.includes(path))).toEqual([])
})
