#!/usr/bin/env bash
# libmemcached shows a refused get as a miss, and a refused flush as done.
#
# Software:  libmemcached 1.1.4, through pylibmc 1.6.3 (Debian 12; needs its python3).
# Behaviour: memcached's binary protocol has status 0x20, "Auth failure.", for a command that is
#            not allowed. libmemcached reports it for set and delete. A get so answered gives None
#            as for a key that is not there, and flush_all gives True though nothing was flushed. A
#            program cannot tell missing rights from an empty cache.
# Output seen:
# > allowed set: True
# > allowed get: b'v'
# > allowed delete: True
# > allowed flush_all: True
# > refused set: Error
# > refused get: None
# > refused delete: Error
# > refused flush_all: True
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download python3-pylibmc=1.6.3-1+b1 libmemcached11=1.1.4-1 libhashkit2=1.1.4-1 \
  libsasl2-2=2.1.28+dfsg-10+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu
export PYTHONPATH=$folder/debian/usr/lib/python3/dist-packages

cat >refused.py <<'END'
import socket
import struct
import threading

import pylibmc

GET, GETK, VERSION = 0x00, 0x0C, 0x0B


def answer(connection, status):
    """Gives each binary request the one status, and a get that is allowed the value v."""
    stream = connection.makefile('rb')
    while len(header := stream.read(24)) == 24:
        _, opcode, key_length, extras_length, _, _, body_length, opaque = struct.unpack('>BBHBBHI4s8x', header)
        body = stream.read(body_length)
        key = body[extras_length:extras_length + key_length] if opcode == GETK else b''
        extras, value = b'', b'Auth failure.' if status else b''
        if opcode == VERSION:
            status_sent, value = 0, b'1.6.18'
        else:
            status_sent = status
        if status_sent:
            key = b''
        elif opcode in (GET, GETK):
            extras, value = bytes(4), b'v'
        reply = extras + key + value
        connection.sendall(
            struct.pack('>BBHBBHI4s8x', 0x81, opcode, len(key), len(extras), 0, status_sent, len(reply), opaque) + reply
        )


def serve(status):
    listener = socket.create_server(('127.0.0.1', 0))

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection, status), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


for name, status in (('allowed', 0x00), ('refused', 0x20)):
    client = pylibmc.Client([f'127.0.0.1:{serve(status)}'], binary=True)
    for command, call in (
        ('set', lambda: client.set('key', 'v')),
        ('get', lambda: client.get('key')),
        ('delete', lambda: client.delete('key')),
        ('flush_all', lambda: client.flush_all()),
    ):
        try:
            print(f'{name} {command}: {call()!r}')
        except pylibmc.Error as error:
            print(f'{name} {command}: {type(error).__name__}')
END
/usr/bin/python3 refused.py | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
