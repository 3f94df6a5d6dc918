#!/usr/bin/env bash
# libmemcached cannot log in where a server announces EXTERNAL beside PLAIN, though it can do PLAIN.
#
# Software:  libsasl2 2.1.28 with its PLAIN plugin, libmemcached and its memccat 1.1.4 (Debian 12).
# Behaviour: libsasl2 takes one mechanism of the server's list, and EXTERNAL before PLAIN whatever
#            their order, also where no external identity was set. The login ends before a byte of
#            it was sent, and PLAIN is never tried. So one more mechanism in the list, meant for
#            other clients, locks out programs that log in through libmemcached.
# Output seen:
# > PLAIN: LIST, AUTH PLAIN, GETK greeting
# > EXTERNAL PLAIN: LIST; no mechanism available
# > PLAIN EXTERNAL: LIST; no mechanism available
# > EXTERNAL: LIST; no mechanism available
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download libmemcached-tools=1.1.4-1 libmemcached11=1.1.4-1 libmemcachedutil2=1.1.4-1 \
  libhashkit2=1.1.4-1 libevent-2.1-7=2.1.12-stable-8+deb12u1 libsasl2-2=2.1.28+dfsg-10+deb12u1 \
  libsasl2-modules=2.1.28+dfsg-10+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LIBRARIES=$folder/debian/usr/lib/x86_64-linux-gnu

cat >server.cjs <<'END'
// Announces the given mechanisms, lets everybody in, and prints which requests came.
const net = require('node:net')
const { execFile } = require('node:child_process')
const OPCODES = { 0x00: 'GET', 0x07: 'QUIT', 0x0c: 'GETK', 0x0a: 'NOOP', 0x0b: 'VERSION', 0x20: 'LIST', 0x21: 'AUTH', 0x22: 'STEP' }

function serve(mechanisms, requests) {
  return net.createServer((socket) => {
    let pending = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (data) => {
      pending = Buffer.concat([pending, data])
      while (pending.length >= 24 && pending.length >= 24 + pending.readUInt32BE(8)) {
        const opcode = pending[1]
        const key = pending.toString('latin1', 24, 24 + pending.readUInt16BE(2))
        requests.push(`${OPCODES[opcode] ?? opcode}${key && ` ${key}`}`)
        const body = Buffer.from({ 0x0b: '1.6.18', 0x20: mechanisms, 0x21: 'Authenticated' }[opcode] ?? '')
        const header = Buffer.alloc(24)
        header[0] = 0x81
        header[1] = opcode
        header.writeUInt32BE(body.length, 8)
        pending.copy(header, 12, 12, 16)
        socket.write(Buffer.concat([header, body]))
        pending = pending.subarray(24 + pending.readUInt32BE(8))
      }
    })
  })
}

async function main() {
  for (const mechanisms of ['PLAIN', 'EXTERNAL PLAIN', 'PLAIN EXTERNAL', 'EXTERNAL']) {
    const requests = []
    const server = serve(mechanisms, requests)
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
    const { LIBRARIES } = process.env
    const servers = `--servers=127.0.0.1:${server.address().port}`
    const environment = { ...process.env, LD_LIBRARY_PATH: LIBRARIES, SASL_PATH: `${LIBRARIES}/sasl2` }
    const options = [servers, '--binary', '--username=alice', '--password=wonderland', 'greeting']
    await new Promise((ended) =>
      execFile('debian/usr/bin/memccat', options,
        { env: environment, timeout: 10000 },
        (_error, _output, errors) => {
          const reason = /no mechanism available/.exec(errors)
          const sent = requests.filter((name) => name !== 'QUIT').join(', ')
          console.log(`${mechanisms}: ${sent}${reason === null ? '' : `; ${reason[0]}`}`)
          ended()
        }),
    )
    server.close()
  }
}
main()
END
node server.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
