import { expect, test } from 'vitest'
import { describeConnectTrouble } from '../../../src/base/connect-trouble.ts'

const trouble = (code: string): Error => Object.assign(new Error('said by Node'), { code })

test.each([
  ['ECONNREFUSED', 'cache', /^nobody listens there: /],
  ['ENOENT', undefined, /^there is no such socket: /],
  ['EAI_AGAIN', 'cache', /^the name of the host cannot be looked up now$/],
  ['ENOTFOUND', 'cache', /^there is no such host$/],
  ['EMFILE', 'cache', /^EMFILE$/],
  ['', 'cache', /^said by Node$/],
  // Somebody meant the socket that `-s c.sock` makes.
  ['ENOTFOUND', 'c.sock', /^there is no such host; the path of a socket has .*: \.\/c\.sock$/],
  ['EAI_AGAIN', 'my.socket', /; the path of a socket has a slash in it: \.\/my\.socket$/],
  ['ECONNREFUSED', 'c.sock', /address right\?$/],
])('%s of %s is told in words', (code, host, words) => {
  expect(describeConnectTrouble(trouble(code), host)).toMatch(words)
})

test('of several addresses the trouble is that of the first', () => {
  const error = new AggregateError([trouble('ECONNREFUSED'), trouble('ENETUNREACH')], '')
  expect(describeConnectTrouble(error, 'cache')).toMatch(/^nobody listens there: /)
})
