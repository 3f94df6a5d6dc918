#!/usr/bin/env bash
# pylibmc sends an expiry of -1 as 4294967295 with set, and as -1 with touch.
#
# Software:  pylibmc 1.6.3 with libmemcached 1.1.4 (Debian 12; needs its python3), beside
#            pymemcache 3.5.2 (Debian 12).
# Behaviour: memcached's text protocol takes a negative expiry for "expired at once".
#            libmemcached prints that of a storage command as an unsigned 32-bit number, which is a
#            date in 2106 to a server that reads it as it stands. pymemcache sends -1 with both.
# Output seen:
# > pylibmc: set key 0 4294967295 1
# > pylibmc: touch key -1
# > pymemcache: set key 0 -1 1
# > pymemcache: touch key -1
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download python3-pylibmc=1.6.3-1+b1 libmemcached11=1.1.4-1 libhashkit2=1.1.4-1 \
  libsasl2-2=2.1.28+dfsg-10+deb12u1 python3-pymemcache=3.5.2-1 python3-six=1.16.0-4 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu
export PYTHONPATH=$folder/debian/usr/lib/python3/dist-packages

cat >expiry.py <<'END'
import socket
import threading

import pylibmc
from pymemcache.client.base import Client


def answer(connection, name):
    for line in connection.makefile('rb'):
        if line.startswith((b'set', b'touch')):
            print(f'{name}: {line.decode().strip()}')
        if line.startswith(b'touch'):
            connection.sendall(b'TOUCHED\r\n')
        elif line == b'v\r\n':
            connection.sendall(b'STORED\r\n')


def serve(name):
    listener = socket.create_server(('127.0.0.1', 0))

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection, name), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


client = pylibmc.Client([f'127.0.0.1:{serve("pylibmc")}'])
client.set('key', b'v', time=-1)
client.touch('key', -1)
client = Client(('127.0.0.1', serve('pymemcache')))
client.set('key', b'v', expire=-1, noreply=False)
client.touch('key', -1, noreply=False)
END
/usr/bin/python3 expiry.py | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
