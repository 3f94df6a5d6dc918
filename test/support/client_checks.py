"""What the Python programs of test/integration/clients have in common: they check one operation of a
client library after the other, and say of each whether it worked, as test/support/client-suite.ts wants it.
"""

import time


def equal(seen, expected):
    if seen != expected:
        raise AssertionError(f"expected {expected!r:.200}, saw {seen!r:.200}")


def raises(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, nothing was raised")


def gone_within(client, key, seconds):
    deadline = time.monotonic() + seconds
    while client.get(key) is not None:
        if time.monotonic() > deadline:
            raise AssertionError("the item did not expire")
        time.sleep(0.05)


def check_set(client):
    equal(client.set("set", "one"), True)
    equal(client.set("set", "two"), True)
    equal(client.get("set"), "two")


def check_add(client):
    equal(client.add("add", "first"), True)
    equal(client.add("add", "second"), False)
    equal(client.get("add"), "first")


def check_delete(client):
    """Of one key and of several, of clients that write several with set_multi."""
    client.set("delete", "x")
    equal(client.delete("delete"), True)
    equal(client.get("delete"), None)
    client.set_multi({"delete-1": "x", "delete-2": "x"})
    equal(client.delete_multi(["delete-1", "delete-2"]), True)
    equal(client.get_multi(["delete-1", "delete-2"]), {})


def run_checks(checks, client):
    """Runs each of `checks`, functions of the client by what they are about; one that fails ends none."""
    for name, check in checks.items():
        try:
            check(client)
            print(f"ok - {name}", flush=True)
        except Exception as error:
            why = f"{type(error).__name__} {error}".replace("\n", " ")
            print(f"not ok - {name}: {why}", flush=True)
