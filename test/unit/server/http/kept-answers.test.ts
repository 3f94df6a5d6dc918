import { expect, test } from 'vitest'
import { KeptAnswers } from '../../../../src/server/http/kept-answers.ts'
import type { Route, RouteAnswer, RouteRequest } from '../../../../src/server/http/route.ts'

const FRESH_MS = 1000

function requestFor(accept = ''): RouteRequest {
  return { query: new URLSearchParams(), accept, seesAll: true }
}

function answerOf(body: string): RouteAnswer {
  return { status: 200, contentType: 'text/plain', body }
}

/** A route whose answers say which they are: its form, and how many were made before. */
function counting(freshMs: number = FRESH_MS) {
  const clock = { nowMs: 0 }
  const kept = new KeptAnswers(() => clock.nowMs)
  let madeCount = 0
  const route: Route = {
    path: '/metrics',
    freshMs,
    form: ({ accept }) => accept,
    answer: (form) => answerOf(`${form}${madeCount++}`),
  }
  const ask = async (form?: string): Promise<string> =>
    String((await kept.answer(route, requestFor(form))).body)
  return { clock, kept, ask, made: () => madeCount }
}

test('an answer is made once in its time, however many ask, and anew at its end', async () => {
  const { clock, ask, made } = counting()
  const first = await Promise.all(Array.from({ length: 1000 }, () => ask()))
  expect(new Set(first)).toEqual(new Set(['0']))
  clock.nowMs = FRESH_MS - 1
  expect(await ask()).toBe('0')
  clock.nowMs = FRESH_MS
  expect(await ask()).toBe('1')
  expect(made()).toBe(2)
})

test('its time begins when it is made, and all who wait get that one', async () => {
  const clock = { nowMs: 0 }
  const kept = new KeptAnswers(() => clock.nowMs)
  let resolve: (answer: RouteAnswer) => void = () => undefined
  const promise = new Promise<RouteAnswer>((settle) => {
    resolve = settle
  })
  let madeCount = 0
  const route: Route = {
    path: '/slow',
    freshMs: FRESH_MS,
    answer: () => {
      madeCount++
      return promise
    },
  }
  const first = kept.answer(route, requestFor())
  clock.nowMs = 10 * FRESH_MS
  const second = kept.answer(route, requestFor())
  resolve(answerOf('slow'))
  expect(await second).toBe(await first)
  clock.nowMs += FRESH_MS - 1
  expect(await kept.answer(route, requestFor())).toBe(await first)
  expect(madeCount).toBe(1)
})

test('one that is never fresh is made for each who asks when none is being made', async () => {
  const { ask } = counting(0)
  expect([await ask(), await ask()]).toEqual(['0', '1'])
})

test('forms are kept apart, and no more than sixteen of them', async () => {
  const { ask, made } = counting()
  for (let count = 0; count < 16; count++) await ask(`form ${count} `)
  expect(await ask('form 0 ')).toBe('form 0 0')
  await ask('one more ')
  expect(await ask('form 15 ')).toBe('form 15 15')
  expect(made()).toBe(17)
  expect(await ask('form 0 ')).toBe('form 0 17')
})

test('routes with the same form are kept apart', async () => {
  const kept = new KeptAnswers(() => 0)
  const routes = ['/a', '/b'].map((path): Route => {
    return { path, freshMs: FRESH_MS, answer: () => answerOf(path) }
  })
  const bodies = await Promise.all(routes.map((route) => kept.answer(route, requestFor())))
  expect(bodies.map(({ body }) => String(body))).toEqual(['/a', '/b'])
})

test('a failure is told to who waited for it, and is not kept', async () => {
  const kept = new KeptAnswers(() => 0)
  let askedCount = 0
  const route: Route = {
    path: '/fails',
    freshMs: FRESH_MS,
    answer: () => {
      askedCount++
      if (askedCount === 1) throw new Error('no')
      return answerOf('yes')
    },
  }
  const failures = [kept.answer(route, requestFor()), kept.answer(route, requestFor())]
  for (const failure of failures) await expect(failure).rejects.toThrow('no')
  expect(String((await kept.answer(route, requestFor())).body)).toBe('yes')
  expect(askedCount).toBe(2)
})
