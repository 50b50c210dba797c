"""What state in a Redis costs a gateway, beside one whose state is in memory.

Both run at once, and take turns in short windows; figures are medians of what differs within a turn, so that what
else happens on the machine falls on both. Beside them run `floor` and `floor` with one command to the Redis that each
call waits for: what any shared state costs on this machine. Core 0 runs all of them, core 1 the Redis, the upstream
and the load.
"""

import contextlib
import json
import os
import subprocess
import time

from machine import BIN, GATEWAY, HERE, KEY, MOCK, PATH, at_rate, limited, load, median, pinned, start, stop, wait_idle

PORT = 18079
URL = f"redis://127.0.0.1:{PORT}"
# Turns in a round, and the seconds of a window.
TURNS, WINDOW = 4, 1.0
# The limit of the added p50 was set on a machine where the awaited command took 51 µs.
LIMIT, COMMAND = 70, 51


def gateway(folder, port, *arguments):
    return {"command": [GATEWAY, "serve", "--resources", os.path.join(HERE, "resources"),
                        "--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{port + 1}",
                        "--state-dir", os.path.join(folder, str(port)), *arguments],
            "url": f"http://127.0.0.1:{port}{PATH}"}


def floor(port, *arguments):
    listen = f"127.0.0.1:{port}"
    return {"command": [f"{BIN}/limit-proxy", "--mode", "floor", "--listen", listen, "--upstream", MOCK,
                        "--keys", KEY, *arguments],
            "url": f"http://{listen}{PATH}"}


def targets(folder):
    # A machine this busy answers late.
    return {"ours": gateway(folder, 18095), "redis": gateway(folder, 18097, "--redis-url", URL, "--redis-deadline", "1s"),
            "floor": floor(18091), "command": floor(18092, "--redis", URL)}


@contextlib.contextmanager
def awake():
    """Keeps both cores from sleeping, with work that makes way for any other."""
    spinning = [subprocess.Popen(["chrt", "--idle", "0", *pinned(core, ["sh", "-c", "while :; do :; done"])])
                for core in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait(5)


class Figures:
    """What was measured: by test, one reading of each target for each turn."""

    def __init__(self):
        self.turns = {}
        self.failed = 0

    def note(self, test, readings):
        self.turns.setdefault(test, []).append(readings)

    def ratio(self, test):
        return median([turn["redis"]["rps"] / turn["ours"]["rps"] for turn in self.turns.get(test, [])])

    def added(self, test, after, before):
        return median([turn[after]["lat_us"]["p50"] - turn[before]["lat_us"]["p50"] for turn in self.turns.get(test, [])])

    def more_cpu(self, test):
        def cost(reading):
            return reading["cpu_s"] * 1e6 / reading["ok"]
        return median([cost(turn["redis"]) - cost(turn["ours"]) for turn in self.turns.get(test, [])])

    def rows(self):
        half, added = self.ratio("half"), self.added("rate", "redis", "ours")
        command = self.added("rate", "command", "floor")
        relative = added / command if added is not None and command else None
        yield ("unary requests/s of a gateway on half a core, with ÷ without", half, 2, "at least 0.85",
               half is not None and half >= 0.85)
        yield ("unary requests/s, the Redis beside upstream and load on one core, with ÷ without",
               self.ratio("max"), 2, "", None)
        yield ("more CPU of the gateway per request on half a core, µs", self.more_cpu("half"), 1, "", None)
        yield ("added p50 at 500/s, µs", added, 0, f"at most {LIMIT}", added is not None and added <= LIMIT)
        yield ("one awaited command, added to the p50 of `floor`, µs", command, 0, "", None)
        yield ("the former ÷ the latter", relative, 2, f"at most {LIMIT / COMMAND:.2f}",
               relative is not None and relative <= LIMIT / COMMAND)
        yield ("while no core sleeps: requests/s on half a core, with ÷ without", self.ratio("half-awake"), 2, "", None)
        yield ("– more CPU per request, µs", self.more_cpu("half-awake"), 1, "", None)
        yield ("– added p50 at 500/s, µs", self.added("rate-awake", "redis", "ours"), 0, "", None)
        yield ("– one awaited command, µs", self.added("rate-awake", "command", "floor"), 0, "", None)

    def table(self):
        lines = ["| state in a Redis, against state in memory | | threshold | |", "|---|---:|---:|---:|"]
        for title, value, digits, threshold, good in self.rows():
            verdict = "" if good is None else "yes" if good else "**no**"
            lines.append(f"| {title} | {'–' if value is None else f'{value:.{digits}f}'} | {threshold} | {verdict} |")
        return "\n".join(lines)

    def failures(self):
        return f"shared: {self.failed}" if self.failed else ""


def measure(folder, mock, rounds, raw):
    """Starts all, and lets them take turns."""
    figures = Figures()
    with contextlib.ExitStack() as cleaning:
        redis = subprocess.Popen(pinned(1, ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--save", "",
                                            "--appendonly", "no", "--dir", folder]), stdout=subprocess.DEVNULL)
        cleaning.callback(redis.wait, 5)
        cleaning.callback(redis.terminate)
        time.sleep(0.3)
        running = {}
        for name, target in targets(folder).items():
            process, pid, _ = start(name, target)
            cleaning.callback(stop, process)
            running[name] = (target["url"], pid)
        for url, pid in running.values():
            load("warm", url, pid, mock, "unary", "--conns", 32, "--duration", 1)

        def turns(test, names, window):
            for turn in range(TURNS * rounds):
                readings = {}
                for name in names if turn % 2 else reversed(names):
                    url, pid = running[name]
                    readings[name] = window(name, url, pid)
                    figures.failed += sum(readings[name].get(kind, 0) for kind in ("not_ok", "io_errors", "failed"))
                    raw.write(json.dumps(dict(readings[name], test=f"shared-{test}", turn=turn)) + "\n")
                raw.flush()
                figures.note(test, readings)

        def full(name, url, pid):
            return load(name, url, pid, mock, "unary", "--conns", 32, "--warmup", 0.2, "--duration", WINDOW)

        def rate(name, url, pid):
            return at_rate(name, url, pid, mock, WINDOW)

        both, all_four = ["ours", "redis"], list(running)
        wait_idle(running["redis"][1])
        turns("max", both, full)
        turns("rate", all_four, rate)
        with awake():
            turns("rate-awake", all_four, rate)
        with contextlib.ExitStack() as limits:
            shares = [limits.enter_context(limited(running[name][1], 0.5, f"roundhouse-bench-{name}")) for name in both]
            if all(shares):
                turns("half", both, full)
                with awake():
                    turns("half-awake", both, full)
    return figures
