#!/usr/bin/env bash
# node-redis makes new classes, with a function for each command, for every configuration but the last.
#
# Software:  @redis/client 6.3.1 (npm), on Node.js 20 or later.
# Behaviour: createClient and createCluster keep the class that they made, one, under the JSON of the whole
#            configuration: host, port and password are in it, which the class does not depend on. Who
#            makes clients of two servers in turn has a class made each time, and who looks at a
#            cluster anew by other seeds two. A `toJSON` of the configuration is heeded.
# Output seen:
# > the same port: one class
# > two ports: two classes
# > the first port again: a third class
# > two ports and one toJSON: one class
# > functions of a class: more than 300
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . @redis/client@6.3.1 || exit 2

cat >look.cjs <<'END'
const { createCluster } = require('@redis/client')

const classOf = (port, more) =>
  createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port } }], ...more }).constructor
const one = classOf(1)
console.log(`the same port: ${classOf(1) === one ? 'one class' : 'two classes'}`)
const other = classOf(2)
console.log(`two ports: ${other === one ? 'one class' : 'two classes'}`)
const again = classOf(1)
console.log(`the first port again: ${again === one || again === other ? 'no new class' : 'a third class'}`)
const toJSON = () => 'one name'
const named = classOf(1, { toJSON }) === classOf(2, { toJSON })
console.log(`two ports and one toJSON: ${named ? 'one class' : 'two classes'}`)
const names = Object.getOwnPropertyNames(one.prototype)
console.log(`functions of a class: ${names.length > 300 ? 'more than 300' : names.length}`)
END
node look.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
