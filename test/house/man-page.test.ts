/**
 * docs/man/saslcached.8 against the options and commands that there are. `npx vitest run
 * test/house/man-page.test.ts -u` writes it anew.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { OPTION_NAMES, OPTIONS } from '../../src/config/options.ts'
import { manPage } from '../support/man-page.ts'
import { hasPrerequisites } from '../support/program.ts'

const FILE = join(import.meta.dirname, '..', '..', 'docs', 'man', 'saslcached.8')

test('the manual page is that of the options and commands that there are', async () => {
  await expect(manPage()).toMatchFileSnapshot(FILE)
})

test('it has every option of the server, with its names', () => {
  const page = manPage().replaceAll('\\-', '-')
  const missing = OPTION_NAMES.filter(
    (name) => !page.includes(`\\fB--${OPTIONS[name].long}\\fR`) || !page.includes(`.${name} )`),
  )
  expect(missing).toEqual([])
})

if (
  hasPrerequisites('mandoc', [{ packages: 'mandoc', probe: ['sh', '-c', 'command -v mandoc'] }])
) {
  test('mandoc has nothing to say about it', () => {
    const { status, stdout } = spawnSync('mandoc', ['-T', 'lint', '-W', 'style'], {
      input: manPage(),
      encoding: 'utf8',
    })
    expect([status, stdout]).toEqual([0, ''])
  })
}
