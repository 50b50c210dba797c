#!/usr/bin/env python3
"""Starts the mock upstream and the proxies in turn, drives the load generator, prints one table.

One round is every target in turn: start it, time its start, note its idle memory, run each test, stop it.
The order rotates from round to round, so that noise on a shared machine spreads over all targets; figures
are medians over the rounds, ratios are medians of the ratios within a round. Core 0 runs the proxy, core 1
the mock and the client. Everything is bounded in time and stays on 127.0.0.1.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, "..", "docs", "benchmarks.md")
MOCK = "127.0.0.1:18080"
REDIS = "redis://127.0.0.1:18079"
KEY = "sk-bench-0123456789abcdef"
PATH = "/v1/chat/completions"
GROUP = "roundhouse-bench"
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
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="limit, floor, ours, redis, or NAME=URL,PID")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--target-dir", default=os.environ.get("CARGO_TARGET_DIR"), help=argparse.SUPPRESS)
    return parser.parse_args()


ARGS = arguments()
BIN = os.path.join(ARGS.target_dir or os.path.join(HERE, "target"), "release")
GATEWAY = os.environ.get("BENCH_GATEWAY") or os.path.join(
    ARGS.target_dir or os.path.join(HERE, "..", "target"), "release", "roundhouse-gateway")


def targets(state_dir):
    def yardstick(mode, port):
        listen = f"127.0.0.1:{port}"
        command = [f"{BIN}/limit-proxy", "--mode", mode, "--listen", listen, "--upstream", MOCK, "--keys", KEY]
        return {"command": command, "url": f"http://{listen}{PATH}"}

    if {"ours", "redis"} & set(ARGS.only or ["ours"]) and "BENCH_GATEWAY" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "roundhouse-gateway"], check=True,
                       cwd=os.path.join(HERE, ".."))
    ours = [GATEWAY, "serve", "--resources", os.path.join(HERE, "resources"), "--listen", "127.0.0.1:18095",
            "--admin-listen", "127.0.0.1:18096", "--state-dir", state_dir]
    known = {"limit": yardstick("pass", 18090), "floor": yardstick("floor", 18091),
             "ours": {"command": ours, "url": f"http://127.0.0.1:18095{PATH}"},
             # The same with its state in a Redis, which runs beside the upstream. A machine this busy answers late.
             "redis": {"command": ours + ["--redis-url", REDIS, "--redis-deadline", "1s"],
                       "url": f"http://127.0.0.1:18095{PATH}", "tests": {"max", "half", "rate"}}}
    chosen = {}
    for name in ARGS.only or known:
        if "=" in name:
            name, rest = name.split("=", 1)
            url, _, pid = rest.partition(",")
            known[name] = {"url": url, "pid": int(pid)}
        if name not in known:
            sys.exit(f"unknown target {name}; known: {' '.join(known)}, or NAME=URL,PID")
        chosen[name] = known[name]
    return chosen


def pinned(core, command):
    return ["taskset", "-c", str(core)] + command if (os.cpu_count() or 1) > 1 else command


def stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def tree(root):
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            children.setdefault(int(stat(entry)[1]), []).append(int(entry))
        except OSError:
            pass
    pids = [root]
    for pid in pids:
        pids += children.get(pid, [])
    return pids


def over_tree(root, read):
    total = 0
    for pid in tree(root):
        try:
            total += read(pid)
        except (OSError, IndexError, AttributeError):
            pass
    return total


def pss_kb(root):
    def read(pid):
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))
    return over_tree(root, read)


def wait_idle(root, limit=10.0):
    """Until the process is quiet: what one test left behind must not leak into the next."""
    def ticks():
        return over_tree(root, lambda pid: int(stat(pid)[11]) + int(stat(pid)[12]))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before = ticks()
        time.sleep(0.25)
        if ticks() - before <= 1:
            return


def answers(url):
    body = {"model": "mock-model", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=5) as reply:
        return reply.status == 200 and b"choices" in reply.read()


@contextlib.contextmanager
def limited(pid, share):
    """Gives a process this share of a core, as a pod's CPU limit does. Yields whether it could."""
    period = 10_000
    groups = ((f"/sys/fs/cgroup/cpu/{GROUP}", {"cpu.cfs_period_us": period, "cpu.cfs_quota_us": int(period * share)}),
              (f"/sys/fs/cgroup/{GROUP}", {"cpu.max": f"{int(period * share)} {period}"}))
    for group, settings in groups:
        # Only the folder of the controller knows these files.
        if not os.path.exists(os.path.join(os.path.dirname(group), next(iter(settings)))) \
                and not os.path.exists(os.path.join(os.path.dirname(group), "cgroup.subtree_control")):
            continue
        try:
            os.makedirs(group, exist_ok=True)
            for name, value in settings.items():
                with open(os.path.join(group, name), "w") as file:
                    file.write(str(value))
            with open(os.path.join(group, "cgroup.procs"), "w") as file:
                file.write(str(pid))
        except OSError:
            continue
        try:
            yield True
        finally:
            with open(os.path.join(os.path.dirname(group), "cgroup.procs"), "w") as file:
                file.write(str(pid))
            os.rmdir(group)
        return
    yield False


def start(name, target):
    """Gives the process, its id, and the seconds to its first answer."""
    if "pid" in target:
        return None, target["pid"], None
    os.makedirs(os.path.join(HERE, "logs"), exist_ok=True)
    log_path = os.path.join(HERE, "logs", f"{name}.log")
    environment = {"RUST_LOG": "warn", **os.environ}
    began = time.monotonic()
    with open(log_path, "w") as log:
        process = subprocess.Popen(pinned(0, target["command"]), stdout=log, stderr=log, cwd=HERE,
                                   stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
    failure = "no answer"
    while time.monotonic() < began + 30:
        if process.poll() is not None:
            raise RuntimeError(f"{name} exited with {process.returncode}, see {log_path}")
        try:
            if answers(target["url"]):
                return process, process.pid, time.monotonic() - began
        except Exception as error:  # not up yet
            failure = error
        time.sleep(0.002)
    stop(process)
    raise RuntimeError(f"{name} did not answer: {failure}, see {log_path}")


def stop(process):
    if process is None or process.poll() is not None:
        return
    # A gateway keeps serving for a while after SIGTERM; the second one ends it at once.
    for sent, patience in ((signal.SIGTERM, 0.2), (signal.SIGTERM, 3), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sent)
            process.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass


def load(name, url, pid, mock, mode, *options):
    command = [f"{BIN}/loadgen", mode, "--url", url, "--name", name, "--model", "mock-model", "--other-pid",
               str(mock), "--header", f"authorization: Bearer {KEY}", *(["--pid", str(pid)] if pid else [])]
    done = subprocess.run(pinned(1, command + [str(option) for option in options]), capture_output=True,
                          text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-400:])
    return json.loads(done.stdout)


def at_rate(name, url, pid, mock):
    return load(name, url, pid, mock, "unary", "--conns", 32, "--rate", 500, "--warmup", 0.5,
                "--duration", ARGS.seconds)


def measure(name, target, mock, direct, raw):
    found = {}
    tests = [test for test in ARGS.tests.split(",") if test in target.get("tests", TESTS)]
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
            result = at_rate(name, target["url"], pid, mock)
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


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def table(names, rounds):
    """The measured figures; `ours` (or whatever was measured last) against floor and the thresholds."""
    names = [name for name in names if name != "redis"]
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


def shared(rounds):
    """What state in a Redis costs, against state in memory in the same round."""
    if "redis" not in rounds or "ours" not in rounds:
        return None
    pairs = [(ours, redis) for ours, redis in zip(rounds["ours"], rounds["redis"]) if "rps" in ours and "rps" in redis]
    rate = median([redis["rps"] / ours["rps"] for ours, redis in pairs])
    half = median([redis["half_rps"] / ours["half_rps"] for ours, redis in pairs
                   if "half_rps" in ours and "half_rps" in redis])
    cpu = median([redis["cpu_us"] - ours["cpu_us"] for ours, redis in pairs if "cpu_us" in ours and "cpu_us" in redis])
    added = median([redis["added_p50_us"] - ours["added_p50_us"] for ours, redis in zip(rounds["ours"], rounds["redis"])
                    if "added_p50_us" in ours and "added_p50_us" in redis])
    lines = ["| state in a Redis, against state in memory | | threshold | |", "|---|---:|---:|---:|"]
    for title, value, digits, threshold, good in (
            ("unary requests/s of a gateway on half a core, with ÷ without", half, 2, "at least 0.85",
             half is not None and half >= 0.85),
            ("unary requests/s, the Redis beside upstream and load on one core, with ÷ without", rate, 2, "", None),
            ("added p50 at 500/s, µs", added, 0, "at most 70", added is not None and added <= 70),
            ("more CPU of the gateway per request, µs", cpu, 1, "", None)):
        verdict = "" if good is None else "yes" if good else "**no**"
        lines.append(f"| {title} | {'–' if value is None else f'{value:.{digits}f}'} | {threshold} | {verdict} |")
    return "\n".join(lines)


def failures(names, rounds):
    seen = {name: {key: value for found in rounds[name] for key, value in found.items() if key.endswith("_failed")}
            for name in names}
    return "; ".join(f"{name}: {value}" for name, value in seen.items() if value) or "none"


def processor():
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    return found.group(1) if found else platform.machine()


def write(text):
    with open(DOCUMENT) as file:
        document = file.read()
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
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
    redis = None
    if "redis" in chosen:
        redis = subprocess.Popen(pinned(1, ["redis-server", "--port", REDIS.rsplit(":", 1)[1], "--bind", "127.0.0.1",
                                            "--save", "", "--appendonly", "no", "--dir", state.name]),
                                 stdout=subprocess.DEVNULL)
    os.makedirs(os.path.join(HERE, "results"), exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    raw_path = os.path.join(HERE, "results", f"{stamp}.jsonl")
    try:
        time.sleep(0.3)
        if mock.poll() is not None:
            sys.exit(f"the mock upstream did not start on {MOCK}: is another benchmark running?")
        with open(raw_path, "w") as raw:
            names = list(chosen)
            rounds = {name: [] for name in names}
            for number in range(ARGS.rounds):
                direct = None
                if "rate" in ARGS.tests.split(","):
                    direct = at_rate("direct", f"http://{MOCK}{PATH}", 0, mock.pid)
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
    finally:
        for server in filter(None, (mock, redis)):
            server.terminate()
            server.wait(5)
        state.cleanup()
    figures = "\n\n".join(filter(None, (table(names, rounds), shared(rounds))))
    failed = failures(names, rounds)
    print(f"\n{figures}\n\nfailed calls: {failed}\nraw: {raw_path}")
    if ARGS.write:
        note = (f"{processor()}, {os.cpu_count()} cores, the proxy on one of them; medians of {ARGS.rounds} rounds, "
                f"{time.strftime('%Y-%m-%d')}. Failed calls: {failed}.")
        write(f"\n{figures}\n\n{note}\n")
    sys.exit(1 if any(not found for name in names for found in rounds[name]) else 0)


if __name__ == "__main__":
    main()
