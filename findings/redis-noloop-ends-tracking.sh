#!/usr/bin/env bash
# With NOLOOP, a client's own write to a key ends the tracking of it: what others write next, the client is not told.
#
# Software:  redis-server 7.0.15 (Debian 12, amd64), run on a Unix socket.
# Behaviour: CLIENT TRACKING ON NOLOOP is for clients that know what they write and keep it. The node forgets
#            who tracks a key when the key is written, also those whom NOLOOP spares the message. A client that
#            keeps on showing its copy, or the value that it has just written, is told of nothing until it reads the
#            key again: another client's write goes unseen, without an end. Without NOLOOP the client is told of its own
#            write, drops its copy, reads again, and is told.
# Output seen:
# > NOLOOP: told of another's write: yes
# > NOLOOP, behind a write of its own: told of another's write: no
# > without NOLOOP: told of its own write: yes
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download redis-server=5:7.0.15-1~deb12u10 redis-tools=5:7.0.15-1~deb12u10 \
  libjemalloc2=5.3.0-1 liblzf1=3.6-3 libatomic1=12.2.0-14+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu

# Its socket is in the folder, so there is no port.
debian/usr/bin/redis-server --port 0 --unixsocket "$folder/socket" --save '' --dir "$folder" >log &
server=$!
for _ in $(seq 100); do
  [ -S "$folder/socket" ] && break
  sleep 0.1
done

cat >client.mjs <<'END'
import { connect } from 'node:net'

class Client {
  constructor() {
    this.socket = connect(process.argv[2])
    this.text = ''
    this.socket.on('data', (bytes) => {
      this.text += bytes
      this.wake?.()
    })
  }
  /** Until a mark, which a PING brings behind all that was said before. */
  async ask(...commands) {
    const mark = `mark-${Math.random()}`
    this.socket.write([...commands, `PING ${mark}`].map((command) => `${command}\r\n`).join(''))
    while (!this.text.includes(`${mark}\r\n`)) await new Promise((resolve) => (this.wake = resolve))
    const { text } = this
    this.text = ''
    return text
  }
}

const isTold = (text) => (text.includes('invalidate') ? 'yes' : 'no')
const other = new Client()
const quiet = new Client()
await quiet.ask('HELLO 3', 'CLIENT TRACKING ON NOLOOP', 'SET key 1', 'GET key')
await other.ask('SET key 2')
console.log('NOLOOP: told of another\'s write:', isTold(await quiet.ask()))
await quiet.ask('GET key', 'SET key 3')
await other.ask('SET key 4')
console.log('NOLOOP, behind a write of its own: told of another\'s write:', isTold(await quiet.ask()))
const plain = new Client()
await plain.ask('HELLO 3', 'CLIENT TRACKING ON', 'GET key')
console.log('without NOLOOP: told of its own write:', isTold(await plain.ask('SET key 5')))
process.exit()
END
node client.mjs "$folder/socket" | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
