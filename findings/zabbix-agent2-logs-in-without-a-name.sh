#!/usr/bin/env bash
# zabbix-agent2 logs in with an empty name and an empty password where no user was configured.
#
# Software:  zabbix-agent2 6.0.14 (Debian 12), its memcached plugin.
# Behaviour: memcached.ping with only an address asks for the mechanisms all the same, and where
#            PLAIN is among them it sends a PLAIN message of three empty fields, with every check.
#            To a server that has users each check is a failed login. One that announces no PLAIN is
#            reported as down. The key with user and password behaves as expected.
# Output seen:
# > announced PLAIN, no user configured: LIST, AUTH PLAIN ["","",""], NOOP; result 1
# > announced PLAIN, user configured: LIST, AUTH PLAIN ["","alice","wonderland"], NOOP; result 1
# > announced SCRAM-SHA-256, no user configured: LIST; result 0
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download zabbix-agent2=1:6.0.14+dfsg-1+b1 libpcre2-8-0=10.42-1+deb12u2 \
  libsqlite3-0=3.40.1-2+deb12u2 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu

cat >server.cjs <<'END'
// Announces the given mechanisms, lets everybody in, and prints which requests came.
const net = require('node:net')
const { execFile } = require('node:child_process')
const OPCODES = { 0x07: 'QUIT', 0x0a: 'NOOP', 0x20: 'LIST', 0x21: 'AUTH' }

function serve(mechanisms, requests) {
  return net.createServer((socket) => {
    let pending = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (data) => {
      pending = Buffer.concat([pending, data])
      while (pending.length >= 24 && pending.length >= 24 + pending.readUInt32BE(8)) {
        const end = 24 + pending.readUInt32BE(8)
        const opcode = pending[1]
        const keyEnd = 24 + pending.readUInt16BE(2)
        const name = OPCODES[opcode] ?? `${opcode}`
        const fields = pending.toString('utf8', keyEnd, end).split('\0')
        requests.push(
          opcode === 0x21 ? `${name} ${pending.toString('utf8', 24, keyEnd)} ${JSON.stringify(fields)}` : name,
        )
        const body = Buffer.from({ 0x20: mechanisms, 0x21: 'Authenticated' }[opcode] ?? '')
        const header = Buffer.alloc(24)
        header[0] = 0x81
        header[1] = opcode
        header.writeUInt32BE(body.length, 8)
        pending.copy(header, 12, 12, 16)
        socket.write(Buffer.concat([header, body]))
        pending = pending.subarray(end)
      }
    })
  })
}

async function check(mechanisms, title, user) {
  const requests = []
  const server = serve(mechanisms, requests)
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  const item = `memcached.ping[tcp://127.0.0.1:${server.address().port}${user}]`
  await new Promise((ended) =>
    execFile('debian/usr/sbin/zabbix_agent2', ['-c', '/dev/null', '-t', item], { timeout: 20000 }, (_error, output) => {
      const result = /\[s\|(.*)\]/.exec(output)?.[1]
      const sent = requests.filter((name) => name !== 'QUIT').join(', ')
      console.log(`announced ${mechanisms}, ${title}: ${sent}; result ${result}`)
      ended()
    }),
  )
  server.close()
}

async function main() {
  await check('PLAIN', 'no user configured', '')
  await check('PLAIN', 'user configured', ',alice,wonderland')
  await check('SCRAM-SHA-256', 'no user configured', '')
}
main()
END
node server.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
