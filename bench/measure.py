"""What a benchmark stands on: programs that are timed, weighed and always ended, and the slow server.

Time and memory are taken in different runs, since looking at memory costs time.  Memory is the peak of the sum of PSS over
the process and all its descendants, sampled every 10 ms: PSS divides a page among those who share it, so libraries and
pages left from fork count once, however many workers there are.  CPU is what the kernel charged to every process that was
reaped; this process adopts orphans (PR_SET_CHILD_SUBREAPER), so that none escapes the count.
"""
import ctypes
import json
import os
import resource
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_S = 0.01


class Broken(Exception):
    """A run that did not do its work: it has no time."""


@dataclass
class Run:
    code: int
    wall: float          # seconds, from before the spawn to the end of the process
    cpu: float           # seconds, user and system, of the whole tree
    memory_kb: int       # 0 when not weighed
    out: str             # the file with its standard output
    errors: str          # the end of its standard error


def prepare():
    """Raises the limit of open files as far as allowed and adopts orphans."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return hard


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def tree(pid):
    pids = [pid]
    for parent in pids:
        pids += children(parent)
    return pids


def pss_kb(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:  # not dumpable, and we are not root: RSS, which is never less
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmRSS:")), 0)


def tree_kb(pid):
    return sum(map(pss_kb, tree(pid)))


def end(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def adopted(mine):
    """Reaps what a program left behind, for a second; returns its CPU time.  Whoever stays is ended, and that is an error."""
    cpu, patience = 0.0, time.monotonic() + 1
    while orphans := [pid for pid in children(os.getpid()) if pid not in mine]:
        for pid in orphans:
            done, _, usage = os.wait4(pid, os.WNOHANG)
            if done:
                cpu += usage.ru_utime + usage.ru_stime
        if time.monotonic() > patience:
            end(orphans)
            for pid in orphans:
                os.waitpid(pid, 0)
            raise Broken(f"{len(orphans)} processes outlived the run")
        time.sleep(0.001)
    return cpu


def environment():
    """Ours, without what would change the programs measured."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith("HOSPITAL_") and name not in ("HEALTHCHECKS", "LUA_PATH", "LUA_CPATH")}


def run(argv, *, out, weigh=False, limit=120):
    """Runs a program to its end, which comes after limit seconds at the latest."""
    before = set(children(os.getpid()))
    errors_path = f"{out}.err"
    with open(out, "wb") as out_file, open(errors_path, "wb") as errors_file, open(os.devnull) as nothing:
        started = time.perf_counter()
        process = subprocess.Popen(argv, stdin=nothing, stdout=out_file, stderr=errors_file,
                                   env=environment())
    late = threading.Event()

    def expire():
        late.set()
        end(tree(process.pid))

    timer = threading.Timer(limit, expire)
    timer.start()
    peak, done = 0, 0
    try:
        while weigh and not done:
            peak = max(peak, tree_kb(process.pid))
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if not done:
                time.sleep(SAMPLE_S)
        if not done:
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:  # an interrupt: nothing is left running
        end(tree(process.pid))
        raise
    finally:
        timer.cancel()
    cpu = usage.ru_utime + usage.ru_stime + adopted(before)
    with open(errors_path, "rb") as file:
        errors = file.read()[-2000:].decode("utf-8", "replace").strip()
    os.unlink(errors_path)
    if late.is_set():
        raise Broken(f"{argv[0]} did not end within {limit} s\n{errors}")
    return Run(process.returncode, wall, cpu, peak, out, errors)


def spawn_time(argv):
    """Seconds from spawn to exit of a program that must succeed, with as little of ours in between as can be."""
    actions = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    env = environment()
    started = time.perf_counter()
    _, status = os.waitpid(os.posix_spawn(argv[0], argv, env, file_actions=actions), 0)
    wall = time.perf_counter() - started
    if status != 0:
        raise Broken(f"{argv[0]}: exit status {os.waitstatus_to_exitcode(status)}")
    return wall


class SlowServer:
    """A server for one run: each run has a port of its own, so that none meets the sockets another left in TIME_WAIT."""

    def __init__(self, programs, *options):
        self.process = subprocess.Popen([os.path.join(programs, "slowserver"), *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/"

    def __enter__(self):
        return self

    def stop(self):
        """What it counted: accepted, requests, answered, late_mean_ms, late_max_ms."""
        return json.loads(self.process.communicate(timeout=10)[0])

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
