"""What both benchmarks do on this machine: start programs on a core of their own, drive load, read what it cost."""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
MOCK = "127.0.0.1:18080"
REDIS = "redis://127.0.0.1:18079"
KEY = "sk-bench-0123456789abcdef"
PATH = "/v1/chat/completions"
GROUP = "roundhouse-bench"
TARGET_DIR = os.environ.get("CARGO_TARGET_DIR")
BIN = os.path.join(TARGET_DIR or os.path.join(HERE, "target"), "release")
GATEWAY = os.environ.get("BENCH_GATEWAY") or os.path.join(
    TARGET_DIR or os.path.join(HERE, "..", "target"), "release", "roundhouse-gateway")


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
def limited(pid, share, group=GROUP):
    """Gives a process this share of a core, as a pod's CPU limit does. Yields whether it could."""
    period = 10_000
    folders = ((f"/sys/fs/cgroup/cpu/{group}", {"cpu.cfs_period_us": period, "cpu.cfs_quota_us": int(period * share)}),
              (f"/sys/fs/cgroup/{group}", {"cpu.max": f"{int(period * share)} {period}"}))
    for folder, settings in folders:
        # Only the folder of the controller knows these files.
        if not os.path.exists(os.path.join(os.path.dirname(folder), next(iter(settings)))) \
                and not os.path.exists(os.path.join(os.path.dirname(folder), "cgroup.subtree_control")):
            continue
        try:
            os.makedirs(folder, exist_ok=True)
            for name, value in settings.items():
                with open(os.path.join(folder, name), "w") as file:
                    file.write(str(value))
            with open(os.path.join(folder, "cgroup.procs"), "w") as file:
                file.write(str(pid))
        except OSError:
            continue
        try:
            yield True
        finally:
            with open(os.path.join(os.path.dirname(folder), "cgroup.procs"), "w") as file:
                file.write(str(pid))
            os.rmdir(folder)
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


def at_rate(name, url, pid, mock, seconds):
    return load(name, url, pid, mock, "unary", "--conns", 32, "--rate", 500, "--warmup", 0.5, "--duration", seconds)


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None
