#!/usr/bin/env bash
# memcached's cmd_meta stays 0 whatever meta commands are used: it counts `me` alone.
#
# Software:  memcached 1.6.18 (Debian 12), run on 127.0.0.1.
# Behaviour: the row cmd_meta of `stats` is named for meta commands in general. mn, mg, ms and md do
#            not move it (mg and ms are counted as cmd_get and cmd_set); `me`, which is for
#            debugging, does. A monitor that draws cmd_meta shows no meta traffic at all.
# Output seen:
# > after mn, ms, mg, md: cmd_meta 0, cmd_set 1, cmd_get 1
# > after me: cmd_meta 1, cmd_set 1, cmd_get 1
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

function rows(stats) {
  return ['cmd_meta', 'cmd_set', 'cmd_get'].map((name) => new RegExp(`${name} \\d+`).exec(stats)[0]).join(', ')
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
    const stats = ['stats\r\n', 'END']
    const requests = [
      ['mn\r\n', 'MN'],
      ['ms key 1\r\nv\r\n', 'HD'],
      ['mg key v\r\n', 'v'],
      ['md key\r\n', 'HD'],
      stats,
      ['me key\r\n', 'EN'],
      stats,
    ]
    let answers
    for (let tries = 0; answers === undefined; tries += 1) {
      answers = await talk(port, requests).catch(async (error) => {
        if (tries === 100) throw error
        await new Promise((later) => setTimeout(later, 100))
      })
    }
    console.log(`after mn, ms, mg, md: ${rows(answers[4])}`)
    console.log(`after me: ${rows(answers[6])}`)
  } finally {
    memcached.kill()
  }
}
main()
END
node talk.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
