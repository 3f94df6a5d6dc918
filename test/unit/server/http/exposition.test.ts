import { describe, expect, test } from 'vitest'
import type { MetricFamily } from '../../../../src/observe/metric-family.ts'
import { expose, exposeFamily, expositionFor } from '../../../../src/server/http/exposition.ts'

const LOGINS: MetricFamily = {
  name: 'logins',
  help: 'A "help" of\ntwo lines, with a \\.',
  kind: 'counter',
  samples: () => [{ labels: { user: 'a"b\\c\nd\0e\ud800' }, value: 3 }],
}

const SECONDS: MetricFamily = {
  name: 'request_seconds',
  help: 'Of requests.',
  kind: 'histogram',
  samples: () => [
    {
      labels: { verb: 'get' },
      buckets: [
        { le: 0.5, count: 1 },
        { le: 1, count: 2 },
      ],
      sum: 4.5,
      count: 3,
    },
  ],
}

test('whatever a label has in it, it ends neither its quotes nor its line', () => {
  expect(expose([exposeFamily(LOGINS)], 'text')).toBe(
    '# HELP saslcached_logins_total A "help" of\\ntwo lines, with a \\\\.\n' +
      '# TYPE saslcached_logins_total counter\n' +
      'saslcached_logins_total{user="a\\"b\\\\c\\nd\\\\u0000e\\\\ud800"} 3\n',
  )
})

test('a histogram has the bucket of infinity, its sum and its count', () => {
  expect(
    expose([exposeFamily(SECONDS)], 'text')
      .split('\n')
      .slice(2),
  ).toEqual([
    'saslcached_request_seconds_bucket{verb="get",le="0.5"} 1',
    'saslcached_request_seconds_bucket{verb="get",le="1.0"} 2',
    'saslcached_request_seconds_bucket{verb="get",le="+Inf"} 3',
    'saslcached_request_seconds_sum{verb="get"} 4.5',
    'saslcached_request_seconds_count{verb="get"} 3',
    '',
  ])
})

test('OpenMetrics names counters without _total, and does not rename those that lack it', () => {
  const samples = [{ labels: {}, value: 1 }]
  const up = { name: 'memcached_uptime_seconds', help: 'Up.', kind: 'counter', samples } as const
  expect(expose([exposeFamily(LOGINS), up], 'openmetrics').match(/^# (TYPE|EOF).*$/gm)).toEqual([
    '# TYPE saslcached_logins counter',
    '# TYPE memcached_uptime_seconds unknown',
    '# EOF',
  ])
})

describe('the form that a client gets', () => {
  test.each([
    ['', 'text'],
    ['*/*', 'text'],
    ['text/html,application/xml;q=0.9', 'text'],
    ['application/openmetrics-text', 'openmetrics'],
    ['application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.8', 'text'],
    ['application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5', 'openmetrics'],
    ['application/openmetrics-text;version=2.0.0;q=1,text/plain;q=0.1', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
    ['application/openmetrics-text;q=x', 'text'],
  ])('of %j is %s', (accept, form) => {
    expect(expositionFor(accept)).toBe(form)
  })
})
