#!/usr/bin/env bash
# memcached's `flush_all 1` flushes at once, not after a second.
#
# Software:  memcached 1.6.18 (Debian 12), run on 127.0.0.1.
# Behaviour: the number of `flush_all` is a delay in seconds. A delay of 60 leaves items as they are
#            for now; one of 1 works like none, and the item is gone with the next request.
# Output seen:
# > flush_all 60: the item is there
# > flush_all 1: the item is gone
# > flush_all 0: the item is gone
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download memcached=1.6.18-1+deb12u1 libevent-2.1-7=2.1.12-stable-8+deb12u1 \
  libsasl2-2=2.1.28+dfsg-10+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu

cat >talk.cjs <<'END'
const net = require('node:net')
const { once } = require('node:events')
const { spawn } = require('node:child_process')

/** Sends the requests, each when the line that ends the answer to the one before has come. */
async function talk(port, requests) {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const answers = []
  for (const [request, last] of requests) {
    let answer = ''
    socket.write(request)
    while (!answer.endsWith(`${last}\r\n`)) answer += (await once(socket, 'data'))[0]
    answers.push(answer)
  }
  socket.end()
  return answers
}

async function main() {
  const port = await new Promise((free) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => free(port))
    })
  })
  const memcached = spawn('debian/usr/bin/memcached', ['-u', 'root', '-l', '127.0.0.1', '-p', port], { stdio: 'inherit' })
  try {
    const requests = []
    for (const delay of [60, 1, 0]) {
      requests.push(['set key 0 0 1\r\nv\r\n', 'STORED'], [`flush_all ${delay}\r\n`, 'OK'], ['get key\r\n', 'END'])
    }
    let answers
    for (let tries = 0; answers === undefined; tries += 1) {
      answers = await talk(port, requests).catch(async (error) => {
        if (tries === 100) throw error
        await new Promise((later) => setTimeout(later, 100))
      })
    }
    for (const [index, delay] of [60, 1, 0].entries()) {
      const isThere = answers[3 * index + 2].startsWith('VALUE')
      console.log(`flush_all ${delay}: the item is ${isThere ? 'there' : 'gone'}`)
    }
  } finally {
    memcached.kill()
  }
}
main()
END
node talk.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
