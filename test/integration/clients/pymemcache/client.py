"""Drives pymemcache through everything that it can do over the text dialect.

The contract with the test is in test/support/client-suite.ts.
"""

import os
import ssl
import sys

from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheError,
    MemcacheIllegalInputError,
    MemcacheServerError,
)

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../support"))
from client_checks import equal, gone_within, raises, run_checks  # noqa: E402

SERVER = (os.environ["CLIENT_HOST"], int(os.environ["CLIENT_PORT"]))
CREDENTIALS = f"{os.environ['CLIENT_USER']} {os.environ['CLIENT_PASSWORD']}".encode()
PATIENCE_SECONDS = int(os.environ["CLIENT_PATIENCE_MS"]) / 1000
LARGE = b"0123456789abcdef" * 62_500
ALL_BYTES = bytes(range(256))


class LoginClient(Client):
    """Logs in on each connection that it makes, before anything else is sent on it."""

    def _connect(self):
        super()._connect()
        # Not set(), which would prefix the key and serialize the value as it is configured to.
        login = b"set login 0 0 %d\r\n%s\r\n" % (len(CREDENTIALS), CREDENTIALS)
        self._misc_cmd([login], b"set", False)


class LoginPool(PooledClient):
    client_class = LoginClient


class LoginHash(HashClient):
    client_class = LoginClient


def tls_context():
    if not os.environ.get("CLIENT_CA"):
        return None
    context = ssl.create_default_context(cafile=os.environ["CLIENT_CA"])
    if os.environ["CLIENT_CERTIFICATE"]:
        context.load_cert_chain(os.environ["CLIENT_CERTIFICATE"], os.environ["CLIENT_KEY"])
    return context


def connect(kind=LoginClient, **options):
    options = {"timeout": PATIENCE_SECONDS, "default_noreply": False, **options}
    options["tls_context"] = tls_context()
    return kind([SERVER] if kind is LoginHash else SERVER, **options)


def refusal(client):
    try:
        client.get("missing")
    except (MemcacheError, OSError) as error:
        return f"refused: {type(error).__name__} {error}"
    return "accepted"


def check_get(client):
    equal(client.get("get-missing"), None)
    equal(client.get("get-missing", "default"), "default")
    client.set("get", "text")
    equal(client.get("get"), b"text")
    client["subscript"] = "x"
    equal(client["subscript"], b"x")


def check_get_many(client):
    expected = {f"multi-{index}": b"value %d" % index for index in range(1000)}
    equal(client.set_many(expected), [])
    equal(client.get_many([*expected, "multi-missing"]), expected)
    equal(client.get_many([]), {})


def check_gets(client):
    equal(client.gets("gets-missing"), (None, None))
    client.set("gets", "x")
    value, unique = client.gets("gets")
    equal(value, b"x")
    equal(client.gets_many(["gets", "gets-missing"]), {"gets": (b"x", unique)})


def check_set(client):
    equal(client.set("set", "one"), True)
    equal(client.set("set", "two"), True)
    equal(client.get("set"), b"two")
    equal(client.set("set", b""), True)
    equal(client.get("set"), b"")


def check_expiry(client):
    client.set("expired", "x", expire=-1)
    equal(client.get("expired"), None)
    client.set("expiry", "long", expire=100)
    equal(client.get("expiry"), b"long")
    client.set("expiry", "short", expire=1)
    gone_within(client, "expiry", 10)


def check_add(client):
    equal(client.add("add", "first"), True)
    equal(client.add("add", "second"), False)
    equal(client.get("add"), b"first")


def check_replace(client):
    equal(client.replace("replace", "none"), False)
    client.set("replace", "old")
    equal(client.replace("replace", "new"), True)
    equal(client.get("replace"), b"new")


def check_append_and_prepend(client):
    equal(client.append("extend", "x"), False)
    equal(client.prepend("extend", "x"), False)
    client.set("extend", "middle")
    equal(client.append("extend", "-end"), True)
    equal(client.prepend("extend", "start-"), True)
    equal(client.get("extend"), b"start-middle-end")


def check_cas(client):
    equal(client.cas("cas", "x", "1"), None)
    client.set("cas", "one")
    _, unique = client.gets("cas")
    equal(client.cas("cas", "two", unique), True)
    equal(client.cas("cas", "three", unique), False)
    equal(client.get("cas"), b"two")


def check_delete(client):
    equal(client.delete("delete"), False)
    client.set("delete", "x")
    equal(client.delete("delete"), True)
    equal(client.get("delete"), None)
    client.set_many({"delete-1": "x", "delete-2": "x"})
    equal(client.delete_many(["delete-1", "delete-2", "delete-missing"]), True)
    equal(client.get_many(["delete-1", "delete-2"]), {})


def check_incr_and_decr(client):
    equal(client.incr("number", 1), None)
    client.set("number", "10")
    equal(client.incr("number", 5), 15)
    equal(client.decr("number", 3), 12)
    equal(client.decr("number", 100), 0)
    client.set("number", str(2**64 - 1))
    equal(client.incr("number", 1), 0)
    client.set("word", "no number")
    raises(MemcacheClientError, lambda: client.incr("word", 1))


def check_touch(client):
    equal(client.touch("touch", 100), False)
    client.set("touch", "x")
    equal(client.touch("touch", 100), True)
    equal(client.get("touch"), b"x")
    equal(client.touch("touch", -1), True)
    equal(client.get("touch"), None)


def check_flags(client):
    client.set("flags", "x", flags=0xFFFFFFFF)
    seen = []

    class Witness:
        def serialize(self, _, value):
            return value, 0

        def deserialize(self, _, value, flags):
            seen.append(flags)
            return value

    connect(serde=Witness()).get("flags")
    equal(seen, [0xFFFFFFFF])


def check_serialized_values(client):
    typed = connect(serde=serde.pickle_serde)
    for value in ["w\u00f6rd", 42, 1.5, [1, {"a": None}], b"bytes", True]:
        typed.set("typed", value)
        equal(typed.get("typed"), value)


def check_binary_values(client):
    value = ALL_BYTES + b"\r\nEND\r\nVALUE x 0 1\r\n"
    equal(client.set("binary", value), True)
    equal(client.get("binary"), value)


def check_large_values(client):
    equal(client.set("large", LARGE), True)
    equal(client.get("large"), LARGE)
    client.set_many({f"large-{index}": LARGE for index in range(4)})
    equal(len(client.get_many([f"large-{index}" for index in range(4)])), 4)


def check_value_too_large(client):
    client.set("too-large", "old")
    raises(MemcacheServerError, lambda: client.set("too-large", b"x" * 1024 * 1024))
    equal(client.get("too-large"), None)
    equal(client.set("too-large", "new"), True)


def check_keys(client):
    for key in ["k", "k" * 250, "a:b/c?d", "~^\x01\x7f"]:
        client.set(key, key)
        equal(client.get(key), key.encode())
    unicode = connect(allow_unicode_keys=True, encoding="utf8")
    unicode.set("\u043a\u043b\u044e\u0447", "x")
    equal(unicode.get("\u043a\u043b\u044e\u0447"), b"x")
    raises(MemcacheIllegalInputError, lambda: client.get("k" * 251))


def check_key_prefix(client):
    connect(key_prefix="tenant:").set("key", "x")
    equal(client.get("tenant:key"), b"x")


def check_noreply(client):
    client.set("noreply-number", "1")
    client.set_many({f"noreply-{index}": str(index) for index in range(200)}, noreply=True)
    client.set("noreply-extended", "x", noreply=True)
    client.add("noreply-0", "not added", noreply=True)
    client.replace("noreply-1", "replaced", noreply=True)
    client.append("noreply-extended", "y", noreply=True)
    client.prepend("noreply-extended", "w", noreply=True)
    client.delete("noreply-2", noreply=True)
    client.touch("noreply-3", -1, noreply=True)
    client.incr("noreply-number", 5, noreply=True)
    client.decr("noreply-number", 2, noreply=True)
    client.cas("noreply-4", "never", "1", noreply=True)
    equal(client.get("noreply-0"), b"0")
    equal(client.get("noreply-1"), b"replaced")
    equal(client.get("noreply-extended"), b"wxy")
    equal(client.get_many(["noreply-2", "noreply-3"]), {})
    equal(client.get("noreply-number"), b"4")
    equal(client.get("noreply-4"), b"4")
    equal(client.get("noreply-199"), b"199")


def check_stats(client):
    client.set("stats", "x")
    stats = client.stats()
    equal(stats[b"limit_maxbytes"], 64 * 1024 * 1024)
    for name in [b"pid", b"curr_items", b"cmd_set", b"threads"]:
        equal(stats[name] > 0, True)
    equal(client.stats("settings")[b"maxbytes"], 64 * 1024 * 1024)
    for group in ["items", "slabs"]:
        equal(isinstance(client.stats(group), dict), True)


def check_version(client):
    equal(client.version()[:2], b"1.")


def check_cache_memlimit(client):
    equal(client.cache_memlimit(64), True)


def check_pools(client):
    pool = connect(LoginPool)
    equal(pool.set("pool", "x"), True)
    equal(client.get("pool"), b"x")
    for options in [{}, {"use_pooling": True}]:
        ring = connect(LoginHash, **options)
        equal(ring.set_many({f"ring-{index}": "x" for index in range(10)}), [])
        equal(len(ring.get_many([f"ring-{index}" for index in range(10)])), 10)


def check_new_connection(client):
    client.set("reconnect", "kept")
    client.close()
    equal(client.get("reconnect"), b"kept")


def check_quit(client):
    client.quit()
    equal(client.get("reconnect"), b"kept")


def check_flush_all(client):
    client.set("flush", "x")
    equal(client.flush_all(delay=100), True)
    equal(client.get("flush"), b"x")
    equal(client.flush_all(), True)
    equal(client.get("flush"), None)


CHECKS = {
    "get": check_get,
    "get_many and set_many": check_get_many,
    "gets": check_gets,
    "set": check_set,
    "set with expiry": check_expiry,
    "add": check_add,
    "replace": check_replace,
    "append and prepend": check_append_and_prepend,
    "cas": check_cas,
    "delete": check_delete,
    "incr and decr": check_incr_and_decr,
    "touch": check_touch,
    "flags": check_flags,
    "serialized values": check_serialized_values,
    "binary values": check_binary_values,
    "large values": check_large_values,
    "a value too large": check_value_too_large,
    "long and odd keys": check_keys,
    "prefixed keys": check_key_prefix,
    "noreply": check_noreply,
    "stats": check_stats,
    "version": check_version,
    "cache_memlimit": check_cache_memlimit,
    "pools and rings": check_pools,
    "a new connection": check_new_connection,
    "quit": check_quit,
    "flush_all": check_flush_all,
}


def operations():
    client = connect()
    run_checks(CHECKS, client)


if sys.argv[-1] == "operations":
    operations()
else:
    print(refusal(connect(Client if sys.argv[-1] == "stranger" else LoginClient)))
