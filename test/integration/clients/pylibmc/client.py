"""Drives pylibmc through everything that it can do, over the dialect that is the last argument but
one: `binary`, where it logs in by SASL, or `text`, where the first thing sent on a connection is the
set that logs in, because libmemcached has no login of its own there.

The contract with the test is in test/support/client-suite.ts.
"""

import os
import sys
import time

import pylibmc

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

HOST = os.environ["CLIENT_HOST"]
PORT = os.environ["CLIENT_PORT"]
LARGE = (b"0123456789abcdef" * 62500)[:1_000_000]


USER = os.environ["CLIENT_USER"]
PASSWORD = os.environ["CLIENT_PASSWORD"]
DIALECT, MODE = sys.argv[-2:]


def connect(**behaviors):
    if DIALECT == "text":
        return log_in(unknown(**behaviors))
    return unknown(binary=True, username=USER, password=PASSWORD, **behaviors)


def unknown(binary=False, username=None, password=None, **behaviors):
    return pylibmc.Client(
        [f"{HOST}:{PORT}"],
        binary=binary,
        username=username,
        password=password,
        behaviors={"cas": True, "tcp_nodelay": True, **behaviors},
    )


def log_in(client):
    """Needed in text on each new connection; nothing in binary."""
    if DIALECT == "text":
        client.set("login", f"{USER} {PASSWORD}")
    return client


def login():
    try:
        if MODE == "stranger":
            # Not get, for which libmemcached makes a miss of every refusal over text.
            unknown().delete("missing")
        else:
            connect().get("missing")
        print("accepted")
    except pylibmc.Error as error:
        print("refused:", type(error).__name__, error)


def check_get(client):
    equal(client.get("get-missing"), None)
    equal(client.get("get-missing", "default"), "default")
    client.set("get", "wörd")
    equal(client.get("get"), "wörd")
    equal("get" in client, True)
    equal("get-missing" in client, False)


def check_types(client):
    for value in ["text", b"\0\xff bytes", 42, 1 << 70, True, None, 1.5, ["a", {"b": 1}], ""]:
        equal(client.set("type", value), True)
        equal(client.get("type"), value)


def check_get_multi(client):
    expected = {f"multi-{index}": f"value {index}" for index in range(100)}
    equal(client.set_multi(expected), [])
    equal(client.get_multi([*expected, "multi-missing"]), expected)
    equal(client.get_multi(["7", "8"], key_prefix="multi-"), {"7": "value 7", "8": "value 8"})


def check_expiry(client):
    equal(client.set("expiry", "long", time=100), True)
    equal(client.get("expiry"), "long")
    equal(client.set("expiry", "short", time=1), True)
    gone_within(client, "expiry", 10)


def check_replace(client):
    if DIALECT == "text":
        # NOT_STORED is all that text says.
        equal(client.replace("replace", "none"), False)
    else:
        raises(pylibmc.NotFound, lambda: client.replace("replace", "none"))
    client.set("replace", "old")
    equal(client.replace("replace", "new"), True)
    equal(client.get("replace"), "new")


def check_append(client):
    equal(client.append("append-missing", "x"), False)
    client.set("append", "left")
    equal(client.append("append", "-right"), True)
    equal(client.get("append"), "left-right")


def check_prepend(client):
    equal(client.prepend("prepend-missing", "x"), False)
    client.set("prepend", "right")
    equal(client.prepend("prepend", "left-"), True)
    equal(client.get("prepend"), "left-right")


def check_cas(client):
    client.set("cas", "one")
    value, cas = client.gets("cas")
    equal(value, "one")
    equal(client.cas("cas", "two", cas), True)
    equal(client.cas("cas", "three", cas), False)
    equal(client.get("cas"), "two")
    raises(pylibmc.NotFound, lambda: client.cas("cas-missing", "x", cas))


def check_delete_missing(client):
    equal(client.delete("delete"), False)
    check_delete(client)


def check_incr(client):
    raises(pylibmc.NotFound, lambda: client.incr("incr"))
    client.set("incr", 10)
    equal(client.incr("incr"), 11)
    equal(client.incr("incr", 5), 16)
    client.set("incr-word", "no number")
    raises(pylibmc.Error, lambda: client.incr("incr-word"))


def check_decr(client):
    raises(pylibmc.NotFound, lambda: client.decr("decr"))
    client.set("decr", 10)
    equal(client.decr("decr", 3), 7)
    equal(client.decr("decr", 100), 0)


def check_incr_multi(client):
    client.set_multi({"incr-a": 1, "incr-b": 2})
    client.incr_multi(["incr-a", "incr-b"], delta=10)
    equal(client.get_multi(["incr-a", "incr-b"]), {"incr-a": 11, "incr-b": 12})


def check_touch(client):
    equal(client.touch("touch", 100), False)
    client.set("touch", "x")
    equal(client.touch("touch", 100), True)
    equal(client.get("touch"), "x")
    equal(client.touch("touch", int(time.time()) - 10), True)
    equal(client.get("touch"), None)


def check_stats(client):
    client.set("stats", "x")
    client.get("stats")
    # pylibmc keeps the names that it knows, whatever group is asked for.
    ((address, stats),) = client.get_stats()
    equal(address.decode().split(" ")[0], f"{HOST}:{PORT}")
    equal(stats["limit_maxbytes"], b"67108864")
    for name in ["pid", "version", "curr_items", "curr_connections", "cmd_get", "cmd_set", "threads"]:
        equal(stats[name] not in (b"", b"0", b"-1"), True)


def check_large(client):
    equal(client.set("large", LARGE), True)
    equal(client.get("large") == LARGE, True)
    equal(client.set_multi({f"large-{index}": LARGE for index in range(4)}), [])
    keys = [f"large-{index}" for index in range(4)]
    equal(client.get_multi(keys) == {key: LARGE for key in keys}, True)


def check_too_large(client):
    client.set("too-large", "old")
    raises(pylibmc.TooBig, lambda: client.set("too-large", b"x" * (1024 * 1024)))
    equal(client.get("too-large"), None)
    equal(client.set("too-large", "new"), True)


def check_compression(client):
    equal(client.set("compressed", LARGE * 4, min_compress_len=1000), True)
    equal(client.get("compressed") == LARGE * 4, True)


def check_keys(client):
    for key in ["k", "k" * 250, "ключ", "a:b/c?d"]:
        equal(client.set(key, key), True)
        equal(client.get(key), key)


def check_noreply(client):
    quiet = connect()
    # Now, not sooner: a login is answered, quiet or not.
    quiet.behaviors = {"_noreply": True}
    for index in range(200):
        quiet.set(f"noreply-{index}", index)
    # Another request on the same connection, so that all the quiet ones have been carried out.
    equal(quiet.get("noreply-199"), 199)
    equal(client.get("noreply-0"), 0)


def check_reconnect(client):
    client.set("reconnect", "kept")
    client.disconnect_all()
    equal(log_in(client).get("reconnect"), "kept")
    equal(log_in(client.clone()).get("reconnect"), "kept")


def check_flush_all(client):
    client.set("flush", "x")
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
    "append": check_append,
    "prepend": check_prepend,
    "gets and cas": check_cas,
    "delete and delete_multi": check_delete_missing,
    "incr": check_incr,
    "decr": check_decr,
    "incr_multi": check_incr_multi,
    "touch": check_touch,
    "stats": check_stats,
    "large values": check_large,
    "a value too large": check_too_large,
    "compressed values": check_compression,
    "long and non-ASCII keys": check_keys,
    "quiet writes": check_noreply,
    "a new connection": check_reconnect,
    "flush_all": check_flush_all,
}


def operations():
    client = connect()
    run_checks(CHECKS, client)


if MODE == "operations":
    operations()
else:
    login()
