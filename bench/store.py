#!/usr/bin/env python3
"""Times pairs of a pick and its end over a real redis-server and prints a table, in about a minute. See README.md.

With --write it also puts the table into docs/benchmarks.md. Other arguments go to the example `redis_pairs`.
"""

import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, "..", "docs", "benchmarks.md")
BEGIN, END = "<!-- store: begin -->", "<!-- store: end -->"
EXAMPLE = ["cargo", "run", "--release", "--quiet", "--package", "roundhouse-pool", "--features", "conformance",
           "--example", "redis_pairs", "--"]
ROUNDS = 3
COLUMNS = [
    ("server_us", "server CPU, µs", "{:.1f}"),
    ("pairs_per_server_second", "pairs/s per server core", "{:,.0f}"),
    ("client_us", "client CPU, µs", "{:.1f}"),
    ("scripts", "scripts", "{:.2f}"),
    ("pick_p50_us", "pick p50, µs", "{:,.0f}"),
    ("pick_p99_us", "pick p99, µs", "{:,.0f}"),
    ("alone_p50_us", "alone p50, µs", "{:,.0f}"),
]


def measured(arguments):
    """One round: the numbers of each scene by its name, in the order in which they came."""
    lines = subprocess.run([*EXAMPLE, *arguments], cwd=os.path.join(HERE, ".."), check=True, stdout=subprocess.PIPE,
                           text=True).stdout
    print(lines, file=sys.stderr, end="")
    scenes = {}
    for line in lines.splitlines():
        fields = dict(field.split("=") for field in line.split())
        scene = fields.pop("scene")
        scenes[scene] = {name: float(value) for name, value in fields.items()}
    return scenes


def table(rounds):
    lines = ["| scene | " + " | ".join(title for _, title, _ in COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for scene in rounds[0]:
        shown = [text.format(statistics.median(each[scene][name] for each in rounds)) for name, _, text in COLUMNS]
        lines.append(f"| {scene} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def write(text):
    with open(DOCUMENT) as file:
        document = file.read()
    before, _, rest = document.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{DOCUMENT} has no lines {BEGIN} and {END}")
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    figures = table([measured(arguments) for _ in range(ROUNDS)])
    print(figures)
    if "--write" in sys.argv:
        write(f"\n{figures}\n\n{os.cpu_count()} cores; medians of {ROUNDS} rounds, {time.strftime('%Y-%m-%d')}.\n")


if __name__ == "__main__":
    main()
