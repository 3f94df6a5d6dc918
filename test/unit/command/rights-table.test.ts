/** The table of rights in docs/users.md, row by row, against what decides in the server. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ACCESS_ALL, BUILT_IN_ROLES } from '../../../src/credential/access.ts'
import { isRight, namesOf, RIGHT, rightsOf } from '../../../src/credential/rights.ts'
import { checkPermission } from '../../../src/server/main/permission-check.ts'

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'users.md'), 'utf8')
const ALL_OFFERED = {
  flushEnabled: true,
  dumpEnabled: true,
  watchEnabled: true,
  shutdownEnabled: true,
  hasCertificates: true,
  hasCluster: true,
}

function rowsOf(table: string): string[][] {
  const [, behind = ''] = PAGE.split(`<!-- table: ${table} -->\n\n`)
  const [text = ''] = behind.split('\n\n')
  return text
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

/** Each thing in backquotes. */
function quoted(cell = ''): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text)
}

test('each command takes the rights of its row, and no others', () => {
  const rows = rowsOf('rights')
  for (const [commands, rights] of rows) {
    const takes = quoted(rights).filter(isRight)
    for (const command of quoted(commands)) {
      const check = (bits: number) =>
        checkPermission({ ...ACCESS_ALL, rights: bits }, command.split(' '), ALL_OFFERED)
      expect([command, check(rightsOf(takes))?.isAllowed]).toEqual([command, true])
      for (const right of takes) {
        const less = rightsOf(takes) & ~RIGHT[right]
        expect([command, right, check(less)?.isAllowed]).toEqual([command, right, false])
      }
    }
  }
  expect(rows.length).toBeGreaterThan(10)
})

test('the built-in roles are those of the table', () => {
  const told = rowsOf('roles').map(([name, rights]) => [quoted(name)[0], quoted(rights)])
  expect(told).toEqual(BUILT_IN_ROLES.map(({ name, rights }) => [name, namesOf(rights)]))
})
