"""Does with a ring of servers what the test tells it, a word a line, and answers each with a line of JSON.

The first argument is a file that defines `cache`, an example of docs/sharding.md; the second how many keys. Every
value is the upper case of its key: whatever else is read is counted as wrong.

- set: stores every key; read: reads every key; fill: stores the keys that are missed
- the answer: {"done": N, "missed": N, "wrong": N, "failed": N, "slowest": SECONDS}
"""

import json
import sys
import time

scope = {}
with open(sys.argv[1], encoding="utf8") as example:
    exec(example.read(), scope)  # noqa: S102
CACHE = scope["cache"]
KEYS = [f"key-{index}" for index in range(int(sys.argv[2]))]


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def store(key):
    return "done" if CACHE.set(key, key.upper()) else "missed"


def read(key):
    value = text(CACHE.get(key))
    if value is None:
        return "missed"
    return "done" if value == key.upper() else "wrong"


def fill(key):
    seen = read(key)
    return store(key) if seen == "missed" else seen


def over_all(work):
    counts = {"done": 0, "missed": 0, "wrong": 0, "failed": 0, "slowest": 0}
    for key in KEYS:
        began = time.monotonic()
        try:
            counts[work(key)] += 1
        except Exception:  # each library has its own
            counts["failed"] += 1
        counts["slowest"] = max(counts["slowest"], time.monotonic() - began)
    return counts


for line in sys.stdin:
    work = {"set": store, "read": read, "fill": fill}[line.strip()]
    print(json.dumps(over_all(work)), flush=True)
