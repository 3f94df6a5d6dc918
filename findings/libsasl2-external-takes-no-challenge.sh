#!/usr/bin/env bash
# libsasl2 fails where a server answers its empty EXTERNAL message with an empty challenge.
#
# Software:  libsasl2 2.1.28 (Debian 12).
# Behaviour: A client of EXTERNAL that acts for itself sends an empty initial response. Where a protocol
#            writes an absent one the same way, as memcached's does, a server may take it for absent and
#            ask for it with an empty challenge (RFC 4422, 3.3). For PLAIN and SCRAM the client
#            then sends its message. For EXTERNAL libsasl2 is done after the first message: start
#            returns SASL_OK, and step SASL_FAIL, whatever the challenge. The login is lost.
# Output seen:
# > acting for nobody: start 0, 0 bytes; step -1
# > acting for alice: start 0, 5 bytes; step -1
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download libsasl2-2=2.1.28+dfsg-10+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done

cat >client.py <<'END'
from ctypes import *

USER, AUTHENTICATION_NAME, EXTERNAL, END_OF_LIST = 0x4001, 0x4002, 102, 0
sasl = CDLL('debian/usr/lib/x86_64-linux-gnu/libsasl2.so.2')
Simple = CFUNCTYPE(c_int, c_void_p, c_int, POINTER(c_char_p), POINTER(c_uint))


class Callback(Structure):
    _fields_ = [('id', c_ulong), ('procedure', c_void_p), ('context', c_void_p)]


def login(acting_for):
    @Simple
    def name(_context, _id, result, length):
        result[0] = acting_for
        if length:
            length[0] = len(acting_for)
        return 0

    procedure = cast(name, c_void_p)
    callbacks = (Callback * 3)((USER, procedure), (AUTHENTICATION_NAME, procedure), (END_OF_LIST, None))
    connection, message, mechanism, count = c_void_p(), c_char_p(), c_char_p(), c_uint()
    sasl.sasl_client_new(b'memcached', b'localhost', None, None, callbacks, 0, byref(connection))
    sasl.sasl_setprop(connection, EXTERNAL, b'alice')
    start = sasl.sasl_client_start(connection, b'EXTERNAL', None, byref(message), byref(count), byref(mechanism))
    sent = count.value
    step = sasl.sasl_client_step(connection, b'', 0, None, byref(message), byref(count))
    print(f"acting for {acting_for.decode() or 'nobody'}: start {start}, {sent} bytes; step {step}")


sasl.sasl_client_init(None)
login(b'')
login(b'alice')
END
python3 client.py | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
