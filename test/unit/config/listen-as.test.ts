/** --listen-as: addresses of this machine and Unix sockets, each with the user that it stands for. */
import { expect, test } from 'vitest'
import { load, problemsOf } from './support.ts'

test('is a loopback address with its port, or a path, beside all others', async () => {
  const { network } = await load({
    flags: [
      '-l',
      '10.0.0.5',
      '--listen-as',
      'monitor=127.0.0.1:11212,nginx=[::1]:0',
      '--listen-as',
      'monitor=/run/cache/monitor.sock',
    ],
  })
  expect(network.listen).toEqual([
    { host: '10.0.0.5', port: 11_211 },
    { host: '127.0.0.1', port: 11_212, identity: 'monitor' },
    { host: '::1', port: 0, identity: 'nginx' },
  ])
  expect(network.identitySockets).toEqual([
    { path: '/run/cache/monitor.sock', identity: 'monitor' },
  ])
})

test('stays where a Unix socket or -p 0 turns TCP off', async () => {
  const flags = ['--listen-as', 'monitor=127.0.0.1:11212']
  const socket = await load({ flags: [...flags, '-s', '/run/cache.sock'] })
  expect(socket.network.listen).toEqual([{ host: '127.0.0.1', port: 11_212, identity: 'monitor' }])
  const off = await load({ flags: [...flags, '-p', '0'] })
  expect(off.network.listen).toEqual(socket.network.listen)
})

test.each([
  ['monitor', 'is not user=address'],
  ['=127.0.0.1:1', 'is not user=address'],
  ['monitor=', 'is not user=address'],
  ['monitor=127.0.0.1', 'has no port: write 127.0.0.1:11212'],
  ['monitor=[::1]', 'has no port'],
  ['monitor=10.0.0.5:11212', 'is not on this machine alone'],
  ['monitor=0.0.0.0:11212', 'is not on this machine alone'],
  ['monitor=*:11212', 'is not on this machine alone'],
  ['monitor=[::]:11212', 'is not on this machine alone'],
  ['monitor=[::ffff:127.0.0.1]:11212', 'is not on this machine alone'],
  ['monitor=[2001:db8::1]:11212', 'is not on this machine alone'],
  // What a name means is somebody else's to say.
  ['monitor=localhost:11212', 'is not on this machine alone'],
  ['monitor=127.0.0.1.example.org:11212', 'is not on this machine alone'],
  ['monitor=127.1:11212', 'is not an IPv4 address'],
  [`monitor=/run/${'x'.repeat(110)}`, 'is longer than 107 bytes'],
])('%s is refused', async (given, reason) => {
  const [problem = '', ...others] = await problemsOf({ flags: ['--listen-as', given] })
  expect(problem).toContain(reason)
  expect(others).toEqual([])
})

test.each([
  [['-l', '127.0.0.1:11212', '--listen-as', 'm=127.0.0.1:11212']],
  [['--listen-as', 'm=[::1]:1,n=[::1]:1']],
  [['--listen-as', 'm=[::1]:1,n=[0::1]:1']],
  [['--listen-as', 'm=127.0.0.1:11211']],
  [['-l', '0.0.0.0:11212', '--listen-as', 'm=127.0.0.1:11212']],
  [['-l', '[::]:11212', '--listen-as', 'm=[::1]:11212']],
  [['--listen-as', 'm=/run/a,n=/run/a']],
  [['-s', '/run/a', '--listen-as', 'm=/run/a']],
])('%j is refused: one address stands for one user', async (flags) => {
  const [problem = ''] = await problemsOf({ flags })
  expect(problem).toContain('is listened on already')
})

test.each([
  [['-s', '/run/a', '--listen-as', 'm=127.0.0.1:11211'], {}],
  [['-l', '0.0.0.0:11212', '--listen-as', 'm=[::1]:11212'], {}],
  [['-l', '[::]:11212', '--listen-as', 'm=127.0.0.1:11212'], {}],
  [['-l', 'localhost:11212', '--listen-as', 'm=127.0.0.1:11212'], {}],
  [['--listen-as', 'm=127.0.0.1:11211'], { LISTEN_FDS: '1' }],
])('%j is taken, with %j: nothing known listens there', async (flags, environment) => {
  const { network } = await load({ flags, environment })
  expect(network.listen.at(-1)).toMatchObject({ identity: 'm' })
})

test('is refused where nobody logs in: everybody would have all rights', async () => {
  const [problem = ''] = await problemsOf({
    flags: ['--no-auth', 'true', '--listen-as', 'monitor=127.0.0.1:11212'],
  })
  expect(problem).toContain('names users, and with --no-auth everybody may do everything')
})
