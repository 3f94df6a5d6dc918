#!/usr/bin/env bash
# memcached -Y gives one answer to all lines that come in one write before the login, that of the last.
#
# Software:  memcached 1.6.18 (Debian 12) with -Y, run on 127.0.0.1.
# Behaviour: one line a write gets one answer each. Of several lines in one write up to the login and
#            with it, all are looked at, but only the answer of the last arrives: a client that counts
#            answers waits for ever, and one that does not takes STORED for the answer to its get.
#            Behind the login in the same write each request has its own.
# Output seen:
# > get, get in two writes: CLIENT_ERROR unauthenticated | CLIENT_ERROR unauthenticated
# > get, get in one write: CLIENT_ERROR unauthenticated | nothing
# > get, login in one write: STORED | nothing
# > get, login, get in one write: STORED | END
# > login, get in one write: STORED | END
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download memcached=1.6.18-1+deb12u1 libevent-2.1-7=2.1.12-stable-8+deb12u1 \
  libsasl2-2=2.1.28+dfsg-10+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu
echo 'someone:secret' >users

cat >talk.cjs <<'END'
const net = require('node:net')
const { once } = require('node:events')
const { spawn } = require('node:child_process')
const later = (ms) => new Promise((done) => setTimeout(done, ms))

const GET = 'get key\r\n'
const LOGIN = 'set login 0 0 14\r\nsomeone secret\r\n'

/** Sends each of the writes; resolves to the lines that came within a second of the last. */
async function talk(port, writes) {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  let answer = ''
  socket.on('data', (bytes) => {
    answer += bytes
  })
  for (const [index, bytes] of writes.entries()) {
    socket.write(bytes)
    while (index < writes.length - 1 && answer.split('\r\n').length < index + 2) await later(10)
  }
  await later(1000)
  socket.destroy()
  const lines = answer.trimEnd().split('\r\n')
  return [lines[0], lines[1] ?? 'nothing'].join(' | ')
}

async function main() {
  const port = await new Promise((free) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => free(port))
    })
  })
  const memcached = spawn('debian/usr/bin/memcached', ['-u', 'root', '-l', '127.0.0.1', '-p', port, '-Y', 'users'], { stdio: 'inherit' })
  try {
    for (let tries = 0; tries < 100; tries += 1) {
      const isUp = await talk(port, []).then(() => true, () => false)
      if (isUp) break
      await later(100)
    }
    console.log('get, get in two writes:', await talk(port, [GET, GET]))
    console.log('get, get in one write:', await talk(port, [GET + GET]))
    console.log('get, login in one write:', await talk(port, [GET + LOGIN]))
    console.log('get, login, get in one write:', await talk(port, [GET + LOGIN + GET]))
    console.log('login, get in one write:', await talk(port, [LOGIN + GET]))
  } finally {
    memcached.kill()
  }
}
main()
END
node talk.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
