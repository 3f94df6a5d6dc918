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


def run_checks(checks, client):
    """Runs each of `checks`, functions of the client by what they are about; one that fails ends none."""
    for name, check in checks.items():
        try:
            check(client)
            print(f"ok - {name}", flush=True)
        except Exception as error:
            why = f"{type(error).__name__} {error}".replace("\n", " ")
            print(f"not ok - {name}: {why}", flush=True)
