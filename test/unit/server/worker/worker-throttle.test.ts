import { expect, test } from 'vitest'
import { parseAddressBlock } from '../../../../src/base/address-block.ts'
import { OPTIONS } from '../../../../src/config/options.ts'
import { addressFilter } from '../../../../src/server/worker/worker-throttle.ts'

test.each([
  ['192.0.2.7', '192.0.2.7', '192.0.2.8'],
  ['192.0.2.0/24', '192.0.2.255', '192.0.3.0'],
  ['10.0.0.0/8', '::ffff:10.9.8.7', '::ffff:11.9.8.7'],
  ['::1', '::1', '::2'],
  ['2001:db8::/32', '2001:db8:ffff::1', '2001:db9::1'],
  ['fe80::/10', 'fe80::1%eth0', 'fd80::1%eth0'],
  ['0.0.0.0/0', '203.0.113.1', '2001:db8::1'],
])('the network %s has %s in it, and not %s', (network, inside, outside) => {
  const isAllowed = addressFilter([network])
  expect([isAllowed(inside), isAllowed(outside)]).toEqual([true, false])
})

test('who has no address is in no network', () => {
  const isAllowed = addressFilter(['0.0.0.0/0', '::/0'])
  expect([isAllowed('unix'), isAllowed('unknown')]).toEqual([false, false])
  expect(addressFilter([])('192.0.2.1')).toBe(false)
})

test.each([
  ['192.0.2', 'is not a network'],
  ['192.0.2.256', 'is not a network'],
  ['192.0.2.01', 'is not a network'],
  ['192.0.2.0/33', 'an IPv4 address has 32 bits'],
  ['2001:db8::/129', 'an IPv6 address has 128 bits'],
  ['192.0.2.0/', 'is not a network'],
  ['192.0.2.0/-1', 'is not a network'],
  ['192.0.2.0/24/8', 'is not a network'],
  ['example.com', 'is not a network'],
  ['[::1]', 'is not a network'],
  ['', 'is not a network'],
])('%j is refused, with what is wrong', (word, reason) => {
  expect(parseAddressBlock(word)).toContain(reason)
  if (word !== '') {
    expect(OPTIONS.throttle_allow.kind.parse(`10.0.0.0/8,${word}`)).toMatchObject({
      reason: expect.stringContaining(reason),
    })
  }
})
