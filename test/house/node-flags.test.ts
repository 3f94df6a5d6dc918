/** With what Node is started: the same by `npm start`, in the image, by tests and benchmarks. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const FLAG = '--single-threaded-gc'

const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

test('whoever starts a server collects on the thread whose garbage it is', () => {
  const { scripts } = JSON.parse(textOf('package.json'))
  expect(scripts.start).toBe(`exec node ${FLAG} dist/bin/saslcached.js`)
  const image = textOf('Dockerfile')
  expect(image).toContain(`ENTRYPOINT ["node", "${FLAG}", "/app/dist/bin/saslcached.js"]`)
  expect(image).toContain(`#!/usr/local/bin/node ${FLAG}|`)
  expect(textOf('test/support/server.ts')).toContain(`['${FLAG}']`)
  expect(textOf('test/bench/run.mjs')).toContain(`[node, '${FLAG}', PROGRAM]`)
})
