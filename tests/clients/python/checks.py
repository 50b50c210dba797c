"""Runs named checks and reports each failure with its traceback.

A check is a function whose name starts with `check_`. Names on the command line choose some of them.
"""

import inspect
import os
import sys
import traceback

BASE_URL = os.environ["ROUNDHOUSE_BASE_URL"]
KEY = os.environ["ROUNDHOUSE_KEY"]


def run(module):
    chosen = sys.argv[1:]
    checks = [
        (name.removeprefix("check_"), check)
        for name, check in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("check_")
    ]
    unknown = set(chosen) - {name for name, _ in checks}
    if unknown:
        sys.exit(f"no such checks: {', '.join(sorted(unknown))}")
    failures = 0
    for name, check in checks:
        if chosen and name not in chosen:
            continue
        try:
            check()
            print(f"ok      {name}")
        except Exception:
            failures += 1
            print(f"FAILED  {name}")
            traceback.print_exc(file=sys.stdout)
    sys.exit(1 if failures else 0)


def raises(kind, call):
    try:
        result = call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got {result!r}")
