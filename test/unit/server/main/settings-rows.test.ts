/**
 * What `stats settings` says of TLS: the rows of memcached 1.6.45 -Z in their order, compared with it by
 * hand. It shows paths as they were given, and a session cache only where one is asked for.
 */
import { expect, test } from 'vitest'
import { settingsRows } from '../../../../src/server/main/settings-rows.ts'
import { load } from '../../config/support.ts'

const NONE = [
  ['ssl_enabled', 'no'],
  ['ssl_chain_cert', 'NULL'],
  ['ssl_key', 'NULL'],
  ['ssl_verify_mode', '0'],
  ['ssl_keyformat', '1'],
  ['ssl_ciphers', 'NULL'],
  ['ssl_ca_cert', 'NULL'],
  ['ssl_wbuf_size', '131072'],
  ['ssl_session_cache', 'no'],
  ['ssl_kernel_tls', 'no'],
  ['ssl_min_version', 'tlsv1.2'],
] as const

test.each([
  ['nothing', [], {}],
  [
    'a pair',
    ['-o', 'ssl_chain_cert=/c.pem,ssl_key=/k.pem'],
    { ssl_chain_cert: '/c.pem', ssl_key: '/k.pem' },
  ],
  [
    'all there is',
    [
      '-o',
      'ssl_chain_cert=/c.pem,ssl_key=/k.pem,ssl_ca_cert=/ca.pem,ssl_verify_mode=2,ssl_ciphers=HIGH,ssl_min_version=3',
    ],
    {
      ssl_chain_cert: '/c.pem',
      ssl_key: '/k.pem',
      ssl_ca_cert: '/ca.pem',
      ssl_verify_mode: '2',
      ssl_ciphers: 'HIGH',
      ssl_min_version: 'tlsv1.3',
    },
  ],
])('of TLS with %s', async (_, flags, others: Readonly<Record<string, string>>) => {
  const on = flags.length > 0
  const config = await load({ flags: [...(on ? ['--tls', 'true'] : []), ...flags] })
  const rows = settingsRows(config, 4).filter(([name]) => name.startsWith('ssl_'))
  const inForce: Readonly<Record<string, string>> = on
    ? { ssl_enabled: 'yes', ssl_session_cache: 'yes', ...others }
    : {}
  expect(rows).toEqual(NONE.map(([name, value]) => [name, inForce[name] ?? value]))
})
