#!/usr/bin/env bash
# node-redis loads a file for each of its commands, and names each twice in four classes, whichever are used.
#
# Software:  @redis/client 6.3.1 (npm), on Node.js 20 or later.
# Behaviour: a require of the package loads all files of its folder `commands`, and there is no other entry. Who
#            makes a cluster gets classes of it, of its nodes, and of the transactions of both, each with a function
#            for each command under two names. All of it is there once more in each worker thread.
#            Of these commands the library itself calls four to follow a cluster over RESP2.
# Output seen:
# > files of commands: more than 400
# > other files: fewer than 100
# > resident memory of the process: more than 8 MiB more
# > functions of one class: more than 800
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . @redis/client@6.3.1 || exit 2

cat >look.cjs <<'END_OF_SCRIPT'
const more = (number, bound) => (number > bound ? `more than ${bound}` : String(number))
const fewer = (number, bound) => (number < bound ? `fewer than ${bound}` : String(number))

const before = process.memoryUsage().rss
const { createCluster } = require('@redis/client')
const cluster = createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port: 1 } }] })
const mib = (process.memoryUsage().rss - before) / 1048576
const files = Object.keys(require.cache).filter((path) => path.includes('@redis'))
const commands = files.filter((path) => path.includes('/dist/lib/commands/'))
const functions = Object.getOwnPropertyNames(Object.getPrototypeOf(Object.getPrototypeOf(cluster)))
console.log(`files of commands: ${more(commands.length, 400)}`)
console.log(`other files: ${fewer(files.length - commands.length, 100)}`)
console.log(`resident memory of the process: ${more(mib, 8)} MiB more`)
console.log(`functions of one class: ${more(functions.length, 800)}`)
END_OF_SCRIPT
node look.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
