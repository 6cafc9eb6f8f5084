"""A real PostgreSQL for one benchmark: in a folder, on loopback, as an ordinary user, ended with it."""
import glob
import os
import pwd
import shutil
import socket
import subprocess
import time

from measure import Broken

SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
shared_buffers = '16MB'
fsync = off
autovacuum = off
jit = off
"""
HBA = """
host all postgres 127.0.0.1/32 trust
host all shop 127.0.0.1/32 scram-sha-256
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Postgres:
    def __init__(self, folder):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise Broken("PostgreSQL is not installed: sh tools/packages.sh bench")
        self.programs, self.port, self.process = found[-1], free_port(), None
        self.folder = os.path.join(folder, "postgres")
        os.makedirs(self.folder)
        self.user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        if self.user:  # PostgreSQL does not run as root
            os.chmod(folder, 0o755)
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)

    def start(self, name, *args):
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        with open(os.path.join(self.folder, f"{name}.log"), "wb") as log:
            return subprocess.Popen([os.path.join(self.programs, name), *args], cwd=self.folder, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, **who)

    def write(self, name, text, how="w"):
        with open(os.path.join(self.folder, "data", name), how) as file:
            file.write(text)

    def target(self, user):
        password = ":open-sesame" if user == "shop" else ""
        return f"postgres://{user}{password}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def ask(self, sql):
        return subprocess.run([os.path.join(self.programs, "psql"), "-X", "-A", "-t", "-c", sql, self.target("postgres")],
                              capture_output=True, text=True, timeout=10)

    def __enter__(self):
        made = self.start("initdb", "-D", "data", "-A", "trust", "-U", "postgres", "--no-sync").wait(60)
        if made != 0:
            raise Broken(f"initdb: exit status {made}")
        self.write("postgresql.conf", SETTINGS.format(port=self.port), "a")
        self.write("pg_hba.conf", HBA)
        self.process = self.start("postgres", "-D", "data")
        patience = time.monotonic() + 20
        while self.ask("create role shop login password 'open-sesame'").returncode != 0:
            if time.monotonic() > patience or self.process.poll() is not None:
                self.__exit__()
                raise Broken("PostgreSQL did not start")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.terminate() if self.process.poll() is None else None
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
