"""Drives python-binary-memcached through everything that it can do over the binary dialect.

The contract with the test is in test/support/client-suite.ts. The library takes a connection that fails
for a server that has nothing, so the program has it log in by the method that tells.
"""

import os
import ssl
import sys

import bmemcached
from bmemcached.exceptions import MemcachedException

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../support"))
from client_checks import (  # noqa: E402
    check_add,
    check_delete,
    check_set,
    equal,
    gone_within,
    raises,
    run_checks,
)

SERVER = f"{os.environ['CLIENT_HOST']}:{os.environ['CLIENT_PORT']}"
USER = os.environ["CLIENT_USER"]
PASSWORD = os.environ["CLIENT_PASSWORD"]
PATIENCE_SECONDS = int(os.environ["CLIENT_PATIENCE_MS"]) / 1000
LARGE = b"0123456789abcdef" * 62_500


def tls_context():
    if not os.environ.get("CLIENT_CA"):
        return None
    context = ssl.create_default_context(cafile=os.environ["CLIENT_CA"])
    if os.environ["CLIENT_CERTIFICATE"]:
        context.load_cert_chain(os.environ["CLIENT_CERTIFICATE"], os.environ["CLIENT_KEY"])
    return context


def connect(kind=bmemcached.Client, **options):
    return kind(
        [SERVER],
        USER,
        PASSWORD,
        socket_timeout=PATIENCE_SECONDS,
        tls_context=tls_context(),
        **options,
    )


def refusal():
    try:
        if not next(connect().servers).authenticate(USER, PASSWORD):
            return "refused: the connection ended"
    except (MemcachedException, OSError) as error:
        return f"refused: {type(error).__name__} {error}"
    return "accepted"


def check_get(client):
    equal(client.get("get-missing"), None)
    equal(client.get("get-missing", "default"), "default")
    client.set("get", "wörd")
    equal(client.get("get"), "wörd")


def check_types(client):
    for value in ["text", "", 42, 1 << 70, 1.5, True, ["a", {"b": None}], b"\0\xff bytes"]:
        equal(client.set("type", value), True)
        equal(client.get("type"), value)


def check_get_multi(client):
    expected = {f"multi-{index}": f"value {index}" for index in range(1000)}
    equal(client.set_multi(expected), [])
    equal(client.get_multi([*expected, "multi-missing"]), expected)
    equal(client.get_multi([]), {})


def check_expiry(client):
    client.set("expiry", "long", time=100)
    equal(client.get("expiry"), "long")
    client.set("expiry", "short", time=1)
    gone_within(client, "expiry", 10)


def check_replace(client):
    equal(client.replace("replace", "none"), False)
    client.set("replace", "old")
    equal(client.replace("replace", "new"), True)
    equal(client.get("replace"), "new")


def check_cas(client):
    equal(client.gets("cas"), (None, None))
    client.set("cas", "one")
    value, unique = client.gets("cas")
    equal(value, "one")
    equal(client.cas("cas", "two", unique), True)
    equal(client.cas("cas", "three", unique), False)
    equal(client.get("cas", get_cas=True)[0], "two")
    _, unique = client.get_multi(["cas"], get_cas=True)["cas"]
    equal(client.delete("cas", cas=unique + 1), False)
    equal(client.delete("cas", cas=unique), True)


def check_incr_and_decr(client):
    equal(client.incr("number", 1, default=10), 10)
    equal(client.incr("number", 5), 15)
    equal(client.decr("number", 3), 12)
    equal(client.decr("number", 100), 0)
    client.set("word", "no number")
    raises(MemcachedException, lambda: client.incr("word", 1))


def check_large_values(client):
    equal(client.set("large", LARGE, compress_level=0), True)
    equal(client.get("large"), LARGE)
    mapping = {f"large-{index}": LARGE for index in range(4)}
    equal(client.set_multi(mapping, compress_level=0), [])
    equal(client.get_multi(list(mapping)), mapping)


def check_value_too_large(client):
    client.set("too-large", "old")
    too_large = os.urandom(1024 * 1024)
    raises(MemcachedException, lambda: client.set("too-large", too_large, compress_level=0))
    equal(client.get("too-large"), None)
    equal(client.set("too-large", "new"), True)


def check_compressed_values(client):
    equal(client.set("compressed", LARGE), True)
    equal(client.get("compressed"), LARGE)


def check_keys(client):
    for key in ["k", "k" * 250, "a:b/c?d", "ключ", "with blank"]:
        client.set(key, "of " + key)
        equal(client.get(key), "of " + key)
    raises(MemcachedException, lambda: client.set("k" * 251, "x"))
    # memcached ends the connection with that, which the library would take for a miss.
    client.disconnect_all()


def check_stats(client):
    stats = client.stats()[SERVER]
    equal(stats["limit_maxbytes"], b"67108864")
    equal(int(stats["curr_items"]) > 0, True)


def check_distributed(client):
    ring = connect(bmemcached.DistributedClient)
    equal(ring.set("ring", "x"), True)
    equal(client.get("ring"), "x")
    equal(ring.get_multi(["ring", "ring-missing"]), {"ring": "x"})


def check_new_connection(client):
    client.set("reconnect", "kept")
    client.disconnect_all()
    equal(client.get("reconnect"), "kept")


def check_flush_all(client):
    client.set("flush", "x")
    equal(client.flush_all(time=100), True)
    equal(client.get("flush"), "x")
    equal(client.flush_all(), True)
    equal(client.get("flush"), None)


CHECKS = {
    "get": check_get,
    "get of every type": check_types,
    "get_multi and set_multi": check_get_multi,
    "set": check_set,
    "set with expiry": check_expiry,
    "add": check_add,
    "replace": check_replace,
    "gets and cas": check_cas,
    "delete and delete_multi": check_delete,
    "incr and decr": check_incr_and_decr,
    "large values": check_large_values,
    "a value too large": check_value_too_large,
    "compressed values": check_compressed_values,
    "long and odd keys": check_keys,
    "stats": check_stats,
    "DistributedClient": check_distributed,
    "a new connection": check_new_connection,
    "flush_all": check_flush_all,
}


def operations():
    client = connect()
    run_checks(CHECKS, client)


if sys.argv[-1] == "operations":
    operations()
else:
    print(refusal())
