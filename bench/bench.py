#!/usr/bin/env python3
"""Starts the mock upstream and the proxies in turn, drives the load generator, prints one table.

One round is every target in turn: start it, time its start, note its idle memory, run each test, stop it.
The order rotates from round to round, so that noise on a shared machine spreads over all targets; figures
are medians over the rounds, ratios are medians of the ratios within a round. Core 0 runs the proxy, core 1
the mock and the client. Everything is bounded in time and stays on 127.0.0.1.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

import shared
from machine import (BIN, GATEWAY, HERE, KEY, MOCK, PATH, at_rate, limited, load, median, pinned, pss_kb, start, stop,
                     wait_idle)

DOCUMENT = os.path.join(HERE, "..", "docs", "benchmarks.md")
TESTS = ["hold", "max", "half", "rate", "big", "chunks", "burst"]

# key, heading, digits after the point, threshold as a ratio to floor (or absolute), absolute
ROWS = [
    ("cpu_us", "CPU per unary request, µs", 1, 1.6, False),
    ("big_cpu_us", "CPU per 1 MB request, µs", 0, 1.5, False),
    ("chunk_cpu_us", "CPU per paced chunk, µs", 2, 1.35, False),
    ("burst_cpu_us", "CPU per burst chunk, µs", 2, 1.2, False),
    ("added_p50_us", "added p50 at 500/s, µs", 0, 1.5, False),
    ("hold_kb", "memory per open stream, KB", 1, 1.5, False),
    ("idle_mb", "memory when idle, MB", 1, 30, True),
    ("start_ms", "start to first answer, ms", 0, 150, True),
    ("rps", "unary requests/s on one core", 0, None, False),
    ("half_rps", "unary requests/s on half a core", 0, None, False),
    ("max_p99_us", "p99 at that rate, µs", 0, None, False),
    ("added_p99_us", "added p99 at 500/s, µs", 0, None, False),
    ("ttfb_p50_us", "first chunk p50, µs", 0, None, False),
    ("transit_p50_us", "chunk transit p50, µs", 0, None, False),
    ("burst_chunks_s", "burst chunks/s on one core", 0, None, False),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each load window")
    parser.add_argument("--tests", default=",".join(TESTS), help="some of " + ",".join(TESTS))
    parser.add_argument("--streams", type=int, default=1000, help="open streams of the hold test")
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="limit, floor, ours, shared, or NAME=URL,PID")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


ARGS = arguments()


def targets(state_dir):
    def yardstick(mode, port):
        listen = f"127.0.0.1:{port}"
        command = [f"{BIN}/limit-proxy", "--mode", mode, "--listen", listen, "--upstream", MOCK, "--keys", KEY]
        return {"command": command, "url": f"http://{listen}{PATH}"}

    if {"ours", "shared"} & set(ARGS.only or ["ours"]) and "BENCH_GATEWAY" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "roundhouse-gateway"], check=True,
                       cwd=os.path.join(HERE, ".."))
    ours = [GATEWAY, "serve", "--resources", os.path.join(HERE, "resources"), "--listen", "127.0.0.1:18095",
            "--admin-listen", "127.0.0.1:18096", "--state-dir", state_dir]
    known = {"limit": yardstick("pass", 18090), "floor": yardstick("floor", 18091),
             "ours": {"command": ours, "url": f"http://127.0.0.1:18095{PATH}"}}
    chosen = {}
    for name in ARGS.only or list(known):
        if name == "shared":
            continue
        if "=" in name:
            name, rest = name.split("=", 1)
            url, _, pid = rest.partition(",")
            known[name] = {"url": url, "pid": int(pid)}
        if name not in known:
            sys.exit(f"unknown target {name}; known: {' '.join(known)}, or NAME=URL,PID")
        chosen[name] = known[name]
    return chosen


def measure(name, target, mock, direct, raw):
    found = {}
    tests = ARGS.tests.split(",")
    process, pid, seconds = start(name, target)

    def run(test, mode, *options):
        wait_idle(pid)
        result = load(name, target["url"], pid, mock, mode, *options)
        raw.write(json.dumps(dict(result, test=test)) + "\n")
        raw.flush()
        failed = result.get("not_ok", 0) + result.get("io_errors", 0) + result.get("failed", 0)
        if failed:
            found[f"{test}_failed"] = failed
        return result

    try:
        if seconds is not None:
            found["start_ms"] = seconds * 1000
        time.sleep(0.5)
        found["idle_mb"] = pss_kb(pid) / 1024
        window = ARGS.seconds
        if "hold" in tests:
            result = run("hold", "stream", "--conns", ARGS.streams, "--ramp", 2, "--duration", 2.5, "--once",
                         "--directive", "chunks=20 interval_us=1000000")
            found["hold_kb"] = (result["peak_pss_kb"] - found["idle_mb"] * 1024) / max(result["peak_open"], 1)
        if "max" in tests:
            result = run("max", "unary", "--conns", 32, "--warmup", 1, "--duration", window)
            found["rps"] = result["rps"]
            found["max_p99_us"] = result["lat_us"]["p99"]
            if result["ok"]:
                found["cpu_us"] = result["cpu_s"] * 1e6 / result["ok"]
        if "half" in tests:
            # What else there is has the rest of the machine: the gateway's own cost is what limits it.
            with limited(pid, 0.5) as is_limited:
                if is_limited:
                    result = run("half", "unary", "--conns", 32, "--warmup", 1, "--duration", window)
                    found["half_rps"] = result["rps"]
        if "rate" in tests:
            wait_idle(pid)
            result = at_rate(name, target["url"], pid, mock, ARGS.seconds)
            found["added_p50_us"] = result["lat_us"]["p50"] - direct["lat_us"]["p50"]
            found["added_p99_us"] = result["lat_us"]["p99"] - direct["lat_us"]["p99"]
        if "big" in tests:
            result = run("big", "unary", "--conns", 4, "--body-bytes", 1048576, "--warmup", 0.5,
                         "--duration", window)
            if result["ok"]:
                found["big_cpu_us"] = result["cpu_s"] * 1e6 / result["ok"]
        if "chunks" in tests:
            result = run("chunks", "stream", "--conns", 300, "--ramp", 1, "--duration", window,
                         "--directive", "chunks=100 interval_us=20000 chunk_bytes=16")
            if result["chunks"]:
                found["chunk_cpu_us"] = result["cpu_s"] * 1e6 / result["chunks"]
            found["ttfb_p50_us"] = result["ttfb_us"]["p50"]
            found["transit_p50_us"] = result["transit_us"]["p50"]
        if "burst" in tests:
            result = run("burst", "stream", "--conns", 32, "--warmup", 0.5, "--duration", window,
                         "--directive", "chunks=200 interval_us=0 chunk_bytes=16")
            found["burst_chunks_s"] = result["chunks_per_s"]
            if result["chunks"]:
                found["burst_cpu_us"] = result["cpu_s"] * 1e6 / result["chunks"]
    finally:
        stop(process)
    return found


def table(names, rounds):
    """The measured figures; `ours` (or whatever was measured last) against floor and the thresholds."""
    subject = next((name for name in reversed(names) if name not in ("limit", "floor")), None)
    lines = []
    heads = ["", *names] + ([f"{subject} ÷ floor", "at most", ""] if subject and "floor" in names else [])
    lines.append("| " + " | ".join(heads) + " |")
    lines.append("|---|" + "---:|" * (len(heads) - 1))
    for key, title, digits, threshold, absolute in ROWS:
        medians = {name: median([found.get(key) for found in rounds[name]]) for name in names}
        if all(value is None for value in medians.values()):
            continue
        shown = ["–" if value is None else f"{value:,.{digits}f}" for value in medians.values()]
        if subject and "floor" in names:
            ratio = median([ours[key] / floor[key] for ours, floor in zip(rounds[subject], rounds["floor"])
                            if ours.get(key) is not None and floor.get(key)])
            judged = medians[subject] if absolute else ratio
            verdict = "" if threshold is None or judged is None else "yes" if judged <= threshold else "**no**"
            unit = title.rsplit(", ", 1)[-1] if absolute else ""
            shown += ["–" if ratio is None else f"{ratio:.2f}",
                      "" if threshold is None else f"{threshold:g} {unit}".strip(), verdict]
        lines.append(f"| {title} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def failures(names, rounds):
    seen = {name: {key: value for found in rounds[name] for key, value in found.items() if key.endswith("_failed")}
            for name in names}
    return "; ".join(f"{name}: {value}" for name, value in seen.items() if value)


def processor():
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    return found.group(1) if found else platform.machine()


def write(part, text):
    with open(DOCUMENT) as file:
        document = file.read()
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, _, rest = document.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{DOCUMENT} has no lines {begin} and {end}")
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{begin}\n{text}\n{end}{after}")


def main():
    # A background shell starts its jobs with SIGINT ignored; both signals must run the clean-up below.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state = tempfile.TemporaryDirectory()
    chosen = targets(os.path.join(state.name, "state"))
    mock = subprocess.Popen(pinned(1, [f"{BIN}/mock-upstream", "--listen", MOCK]), stderr=subprocess.DEVNULL)
    os.makedirs(os.path.join(HERE, "results"), exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    raw_path = os.path.join(HERE, "results", f"{stamp}.jsonl")
    beside = None
    try:
        time.sleep(0.3)
        if mock.poll() is not None:
            sys.exit(f"the mock upstream did not start on {MOCK}: is another benchmark running?")
        with open(raw_path, "w") as raw:
            names = list(chosen)
            rounds = {name: [] for name in names}
            for number in range(ARGS.rounds if names else 0):
                direct = None
                if "rate" in ARGS.tests.split(","):
                    direct = at_rate("direct", f"http://{MOCK}{PATH}", 0, mock.pid, ARGS.seconds)
                turn = number % len(names)
                for name in names[turn:] + names[:turn]:
                    began = time.monotonic()
                    try:
                        found = measure(name, chosen[name], mock.pid, direct, raw)
                    except (RuntimeError, subprocess.TimeoutExpired) as error:
                        print(f"round {number}: {error}", file=sys.stderr)
                        found = {}
                    rounds[name].append(found)
                    print(f"round {number} {name} {time.monotonic() - began:.0f} s "
                          + " ".join(f"{key}={value:.4g}" for key, value in found.items()),
                          file=sys.stderr, flush=True)
            if not ARGS.only or "shared" in ARGS.only:
                beside = shared.measure(state.name, mock.pid, ARGS.rounds, raw)
    finally:
        mock.terminate()
        mock.wait(5)
        state.cleanup()
    parts = {"measured": (names and table(names, rounds), failures(names, rounds)),
             "shared": (beside and beside.table(), beside and beside.failures())}
    for part, (figures, failed) in parts.items():
        if not figures:
            continue
        note = (f"{processor()}, {os.cpu_count()} cores, the proxy on one of them; medians of {ARGS.rounds} rounds, "
                f"{time.strftime('%Y-%m-%d')}. Failed calls: {failed or 'none'}.")
        print(f"\n{figures}\n\n{note}")
        if ARGS.write:
            write(part, f"\n{figures}\n\n{note}\n")
    print(f"raw: {raw_path}")
    sys.exit(1 if any(not found for name in names for found in rounds[name]) else 0)


if __name__ == "__main__":
    main()
