#!/usr/bin/python3
"""Measures hospital against its bounds and its peers: see bench/README.md.

Each scenario is a generator of rows.  A run counts only when it did its work: exit status, number of checks, statuses and,
where there is a server, the requests that it saw are looked at first.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass

sys.dont_write_bytecode = True
from database import Postgres  # noqa: E402
from measure import Broken, SlowServer, prepare, run, spawn_time  # noqa: E402

DELAY_MS = 100
BUSTED = ["/usr/bin/lua5.4", "/usr/bin/busted"]  # never the shebang: that is Lua 5.1 where luacheck is installed
PYTHON = "/usr/bin/python3"                      # never a shim


@dataclass
class Row:
    scenario: str
    what: str
    value: str
    peer: str = ""
    bound: str = ""
    held: object = None  # True, False, or None: shown, not judged


class Bench:
    def __init__(self, options, folder):
        self.hospital = os.path.abspath(options.hospital)
        self.programs = os.path.abspath(options.programs)
        self.runs = options.runs
        self.scale = options.scale
        self.folder = folder
        self.server_late_ms = 0.0

    def count(self, n):
        return max(10, int(n * self.scale))

    def path(self, name):
        return os.path.join(self.folder, name)

    def checks(self, name, count, body, per_file=100, suffix=".lua"):
        """A folder of files with per_file checks each; body(i) is the text of check i."""
        root = self.path(name)
        os.makedirs(root, exist_ok=True)
        for first in range(0, count, per_file):
            with open(os.path.join(root, f"f{first // per_file:05}{suffix}"), "w") as file:
                file.write("\n".join(body(i) for i in range(first, min(first + per_file, count))) + "\n")
        return root

    def check(self, root, count, *options, statuses=("pass",), code=0, **how):
        """Runs hospital over a folder and returns the run and its report, both verified."""
        result = run([self.hospital, "run", root, "-f", "json", *options], out=self.path("report.json"), **how)
        try:
            with open(result.out, "rb") as file:
                report = json.load(file)
            seen = Counter(detail["status"] for detail in report["details"])
            total = report["summary"]["total"]
        except (ValueError, KeyError, TypeError) as why:
            raise Broken(f"exit status {result.code}, no report ({why!r})\n{result.errors}") from why
        if result.code != code or total != count or sum(seen.values()) != count or set(seen) - set(statuses):
            raise Broken(f"exit status {result.code} (expected {code}), {dict(seen)}, "
                         f"total {total} (expected {count})\n{first_message(report)}\n{result.errors}")
        return result, report

    def check_plain(self, root, count, **how):
        """The same with the default report, as busted is run with its own; empty checks are warnings."""
        result = run([self.hospital, "run", root], out=self.path("report.txt"), **how)
        with open(result.out, encoding="utf-8") as file:
            end = file.read()[-400:]
        if result.code != 0 or f"Ran {count} checks" not in end or f"OK (warnings={count})" not in end:
            raise Broken(f"exit status {result.code}\n{end}\n{result.errors}")
        return result

    def server(self, *options):
        return SlowServer(self.programs, *(options or [str(DELAY_MS)]))

    def served(self, server, count):
        seen = server.stop()
        if seen["answered"] != count:
            raise Broken(f"the server answered {seen['answered']} of {count} requests")
        self.server_late_ms = max(self.server_late_ms, seen["late_max_ms"])

    def get(self, count, *options, **how):
        """count GET checks of a server that answers after DELAY_MS."""
        with self.server() as server:
            root = self.checks(f"get{count}", count, lambda i: (
                f'healthcheck("get {i}", function() assert_http_response("{server.url}", 200) end)'))
            result = self.check(root, count, *options, **how)
            self.served(server, count)
            return result

    def bare_get(self, count, **how):
        """The same GETs by the peer."""
        with self.server() as server:
            result = run([os.path.join(self.programs, "baseline"), server.url, str(count)],
                         out=self.path("baseline.json"), **how)
            if result.code != 0:
                raise Broken(f"baseline: exit status {result.code}\n{result.errors}")
            self.served(server, count)
            return result


def first_message(report):
    return next((f"{d['id']}: {d['status']}: {d.get('context')}" for d in report["details"]
                 if d["status"] not in ("pass", "warn")), "")


def median(values):
    return statistics.median(list(values))


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"


def mb(kb):
    return f"{kb / 1024:.1f} MB"


def scenario_get(bench):
    """GET checks, all at once, beside a bare C program that does the same GETs."""
    sizes = [bench.count(n) for n in (1000, 5000, 10000)]
    one = [bench.get(1, "-c", "1")[0] for _ in range(bench.runs)]
    wall_cost, cpu_cost = [], []
    for size in sizes:
        pairs = [(bench.get(size, "-c", str(size))[0], bench.bare_get(size)) for _ in range(bench.runs)]
        wall, bare_wall = (median(r.wall for r in side) for side in zip(*pairs))
        memory = bench.get(size, "-c", str(size), weigh=True)[0].memory_kb
        bare_memory = bench.bare_get(size, weigh=True).memory_kb
        judged = size == sizes[1]
        for what, ours, peers, text in (("wall", wall, bare_wall, ms), ("memory", memory, bare_memory, mb)):
            ratio = ours / peers
            yield Row("get", f"{size}: {what}", f"{text(ours)} = x{ratio:.2f}", f"bare C {text(peers)}",
                      "<= x1.5" if judged else "", ratio <= 1.5 if judged else None)
        wall_cost.append((wall - median(r.wall for r in one)) / size)
        cpu_cost.append((median(r.cpu for r, _ in pairs) - median(r.cpu for r in one)) / size)
    # What a check costs is processor time.  Wall time is shown and not judged: of 1,000 checks much is
    # started while the first answers are still awaited, so small sizes hide what large ones must show.
    for what, costs, judged in (("wall", wall_cost, False), ("CPU", cpu_cost, True)):
        growth = max(costs[j] / costs[i] for i in range(3) for j in range(i + 1, 3))
        growth = growth if min(costs) > 0 else float("inf")
        yield Row("get", f"{what} a check, {sizes[0]} to {sizes[2]}",
                  " ".join(f"{cost * 1e6:.0f}" for cost in costs) + f" us, grows x{growth:.2f}",
                  "", "<= x1.2" if judged else "", growth <= 1.2 if judged else None)
    means = []
    for _ in range(bench.runs):
        _, report = bench.get(sizes[1])
        means.append(statistics.fmean(d["duration"] for d in report["details"]))
    off = median(means) * 1000 / DELAY_MS - 1
    yield Row("get", f"{sizes[1]}, default concurrency: mean", ms(median(means)), f"server {DELAY_MS} ms",
              "within 10 %", abs(off) <= 0.10)


def scenario_empty(bench):
    """Checks with an empty body, ten a file, beside busted on specs of the same shape."""
    few, many = bench.count(10000), bench.count(100000)
    roots = {n: bench.checks(f"empty{n}", n, lambda i: f'healthcheck("empty {i}", function() end)', 10)
             for n in (few, many)}
    specs = bench.checks("specs", few, lambda i: f'it("empty {i}", function() end)', 10, "_spec.lua")
    walls, many_walls, busted_walls = [], [], []
    for _ in range(bench.runs):
        walls.append(bench.check_plain(roots[few], few).wall)
        many_walls.append(bench.check_plain(roots[many], many).wall)
        if len(busted_walls) < 3:
            busted_walls.append(busted(bench, specs, few).wall)
    wall, busted_wall, growth = median(walls), median(busted_walls), median(many_walls) / median(walls)
    ratio = busted_wall / wall
    yield Row("empty", f"{few} in {few // 10} files", f"{few / wall:,.0f}/s = x{ratio:.1f}",
              f"busted {few / busted_wall:,.0f}/s", ">= x30", ratio >= 30)
    yield Row("empty", f"{many} in {many // 10} files", f"{ms(median(many_walls))} = x{growth:.1f} of {few}",
              "", "<= x12", growth <= 12)


def busted(bench, root, count):
    result = run([*BUSTED, root], out=bench.path("busted.txt"))
    with open(result.out) as file:
        said = file.read()
    word = "success" if count == 1 else "successes"
    if result.code != 0 or f"{count} {word} / 0 failures / 0 errors" not in said:
        raise Broken(f"busted: exit status {result.code}, {said[-300:]}")
    return result


def scenario_cold(bench):
    """One trivial check, the whole process, beside busted on one empty spec and python3 -c pass."""
    root = bench.checks("one", 1, lambda i: 'healthcheck("one", function() assert_true(true) end)')
    specs = bench.checks("onespec", 1, lambda i: 'it("one", function() end)', suffix="_spec.lua")
    bench.check(root, 1)
    busted(bench, specs, 1)
    commands = {"hospital": [bench.hospital, "run", root], "busted": [*BUSTED, specs],
                "python3": [PYTHON, "-c", "pass"]}
    times = {name: [] for name in commands}
    for _ in range(bench.runs * 8):  # in turn, so that what disturbs one disturbs all
        for name, argv in commands.items():
            times[name].append(spawn_time(argv))
    ours, theirs, python = (median(times[name][3:]) for name in commands)
    yield Row("cold", "one check", f"{ms(ours)} = x{ours / theirs:.2f}", f"busted {ms(theirs)}",
              "<= x0.5", ours <= theirs / 2)
    yield Row("cold", "one check", f"{ms(ours)} = x{ours / python:.2f}", f"python3 {ms(python)}",
              "<= x1", ours <= python)


def scenario_silent(bench):
    """Checks that wait on a server that never answers, until their deadline."""
    timeout, few, many = 2.0, 10, bench.count(10000)

    def wait(count, **how):
        with bench.server("--silent") as server:
            root = bench.checks(f"silent{count}", count, lambda i: (
                f'healthcheck("silent {i}", {{ timeout = "{timeout:g}s" }}, '
                f'function() assert_http_response("{server.url}", 200) end)'))
            result, report = bench.check(root, count, "-c", str(count), statuses=("timeout",), code=1, **how)
            seen = server.stop()
            if seen["requests"] != count:
                raise Broken(f"the server saw {seen['requests']} of {count} requests")
            return result, [d["duration"] - timeout for d in report["details"]]

    late = [wait(many)[1] for _ in range(min(3, bench.runs))]
    worst = median(max(map(abs, one)) for one in late)
    p99 = median(percentile(map(abs, one), 0.99) for one in late)
    yield Row("silent", f"{many}: worst distance from the deadline", f"{ms(worst)} (p99 {ms(p99)})",
              "", "<= 100 ms", worst <= 0.1)
    base, full = (wait(n, weigh=True)[0].memory_kb for n in (few, many))
    each = (full - base) / (many - few)
    yield Row("silent", "memory a check", f"{each:.1f} KB", f"base {mb(base)}, full {mb(full)}",
              "<= 40 KB", each <= 40)


def scenario_hog(bench):
    """One check that burns CPU until its deadline, and a hundred that sleep 10 ms, in one worker."""
    timeout, nap, others = 2.0, 0.01, 100
    sleepers = bench.checks("hog", others, lambda i: f'healthcheck("nap {i}", function() sleep({nap}) end)', 10)

    def delays(*statuses, code):
        count = others + len(statuses)
        _, report = bench.check(sleepers, count, "-j", "1", statuses=("pass", "warn", *statuses), code=code)
        first = min(d["started"] for d in report["details"])
        hog = [d for d in report["details"] if d["status"] == "timeout"]
        if len(hog) != len(statuses) or any(abs(d["duration"] - timeout) > 0.2 for d in hog):
            raise Broken(f"the hog did not burn until its deadline: {hog}")
        if any(d["started"] - first > 0.05 for d in hog):
            raise Broken("the hog began after the others: nothing was delayed")
        return [d["started"] + d["duration"] - first - nap for d in report["details"] if d not in hog]

    calm = [percentile(delays(code=0), 0.99) for _ in range(bench.runs)]
    with open(os.path.join(sleepers, "a_hog.lua"), "w") as file:  # before the others in every order
        file.write(f'healthcheck("hog", {{ timeout = "{timeout:g}s" }}, function() while true do end end)\n')
    pressed = [percentile(delays("timeout", code=1), 0.99) for _ in range(bench.runs)]
    yield Row("hog", f"p99 delay of {others} others, -j1", ms(median(pressed)), f"without it {ms(median(calm))}",
              "<= 150 ms", median(pressed) <= 0.15)


def scenario_postgres(bench):
    """Checks that log in to PostgreSQL and ask `select 1`, beside a bare C program that does the same."""
    with Postgres(bench.folder) as server:
        for user, how, count in (("postgres", "trusted", bench.count(1000)), ("shop", "SCRAM", bench.count(200))):
            target = server.target(user)
            root = bench.checks(f"select-{how}", count, lambda i, target=target: (
                f'healthcheck("one {i}", {{ timeout = "60s" }}, function() '
                f'assert_equal(1, db.connect("{target}"):value("select 1")) end)'))
            ours, bare = [], []
            for _ in range(bench.runs):
                ours.append(bench.check(root, count)[0].wall)
                bare.append(bare_select(bench, target, count))
            ratio = median(ours) / median(bare)
            yield Row("postgres", f"{count} select 1, {how}", f"{ms(median(ours))} = x{ratio:.2f}",
                      f"bare C {ms(median(bare))}", "<= x1.3", ratio <= 1.3)
        lag = median(lag_of_logins(bench, root, count) for _ in range(bench.runs))
        yield Row("postgres", f"loop lag in {count} SCRAM logins, -j1: p99", ms(lag), "", "<= 20 ms", lag <= 0.02)


def bare_select(bench, target, count):
    result = run([os.path.join(bench.programs, "barepq"), target, str(count)], out=bench.path("barepq.json"))
    with open(result.out) as file:
        said = json.load(file)
    if result.code != 0 or said["count"] != count:
        raise Broken(f"barepq: exit status {result.code}, {said}\n{result.errors}")
    return result.wall


def lag_of_logins(bench, root, count):
    """The p99 of how late a check is woken that does nothing but sleep, beside the logins."""
    with open(os.path.join(root, "a_sleeper.lua"), "w") as file:  # before the others in every order
        file.write("""healthcheck("sleeper", { timeout = "60s" }, function()
          local late, before = {}, now()
          while now() - before < 0.8 do
            local began = now()
            sleep(0.002)
            late[#late + 1] = now() - began - 0.002
          end
          table.sort(late)
          metric("p99", late[math.ceil(#late * 0.99)], "s")
        end)""")
    try:
        _, report = bench.check(root, count + 1, "-j", "1", statuses=("pass", "warn"))
    finally:
        os.unlink(os.path.join(root, "a_sleeper.lua"))
    return next(d["metrics"][0]["value"] for d in report["details"] if d["test"] == "sleeper")


SCENARIOS = {name[len("scenario_"):]: value for name, value in list(globals().items())
             if name.startswith("scenario_")}


def show(rows):
    table = [("scenario", "what", "hospital", "peer", "bound", "")]
    for row in rows:
        verdict = {True: "PASS", False: "MISS", None: "-"}[row.held]
        table.append((row.scenario, row.what, row.value, row.peer, row.bound, verdict))
    widths = [max(map(len, column)) for column in zip(*table)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=" ".join(SCENARIOS))
    parser.add_argument("--hospital", default="build/hospital")
    parser.add_argument("--programs", default="build/bench", help="where slowserver and baseline are")
    parser.add_argument("--runs", type=int, default=5, help="of each measurement; the median counts")
    parser.add_argument("--scale", type=float, default=1, help="of the number of checks: 0.1 for a quick look")
    options = parser.parse_args()
    unknown = set(options.scenarios) - set(SCENARIOS)
    if unknown or options.runs < 1 or options.scale <= 0:
        parser.error(f"no such scenario: {', '.join(unknown)}" if unknown else "--runs and --scale are positive")

    files = prepare()
    if files < 12000:
        print(f"bench: {files} open files allowed, 10,000 connections need 12,000: raise `ulimit -Hn`",
              file=sys.stderr)
    rows = []
    with tempfile.TemporaryDirectory(prefix="hospital-bench-") as folder:
        bench = Bench(options, folder)
        os.chdir(folder)  # whatever a program leaves behind goes with it
        for name in options.scenarios or SCENARIOS:
            print(f"bench: {name}: {SCENARIOS[name].__doc__}", file=sys.stderr)
            try:
                for row in SCENARIOS[name](bench):
                    rows.append(row)
            except (Broken, OSError) as why:
                print(f"bench: {name}: {why}", file=sys.stderr)
                rows.append(Row(name, "did not do its work", "", "", "", False))
        late = bench.server_late_ms
    show(rows)
    if late > 20:
        print(f"\nThe slow server itself was up to {late:.0f} ms late: the machine was busy, "
              "the GET rows are doubtful.")
    if options.scale != 1:
        print(f"\nScaled by {options.scale:g}: not the numbers that the bounds are meant for.")
    return 1 if any(row.held is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
