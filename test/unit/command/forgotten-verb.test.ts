/** A verb that nobody gave a right is not for whoever has logged in. */

import { expect, test } from 'vitest'
import { rightsTaken } from '../../../src/command/permission.ts'
import { RIGHT } from '../../../src/credential/rights.ts'
import { Request } from '../../../src/protocol/request.ts'
import { VERB_OPERATE, VERB_VERSION } from '../../../src/protocol/verbs.ts'

test('a verb that is not in the table takes every right', () => {
  const request = new Request()
  request.verb = VERB_OPERATE + 1
  const every = Object.values(RIGHT).reduce((all, right) => all | right, 0)
  expect(rightsTaken(request) & every).toBe(every)
  request.verb = VERB_VERSION
  expect(rightsTaken(request)).toBe(0)
})
