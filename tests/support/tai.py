"""A private `tai run` for tests: its own data directory and ports, stopped by process id. Standard library only."""
import http.client
import json
import os
import pty
import shutil
import signal
import subprocess
import tempfile
import time


def on_terminal(argv, env):
    """Runs it with a terminal as standard error: exit code, standard output, what the terminal saw."""
    parent, child = pty.openpty()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=child, env=env)
    os.close(child)
    seen = b""
    while True:
        try:
            data = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        seen += data
    out, _ = process.communicate(timeout=60)
    os.close(parent)
    return process.returncode, out.decode(), seen.decode()


class Tai:
    """Starts BINARY run; .port and .andon_port are where it listens; use as a context manager."""

    def __init__(self, binary, data=None, config=None, env=None, wrapper=()):
        self.binary, self.config, self.wrapper = binary, config, list(wrapper)
        self.env = {**os.environ, **(env or {})}
        self.own_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="tai-test-")
        self.log_path = os.path.join(self.data, "test.log") if os.path.isdir(self.data) else tempfile.mktemp()
        self.process, self.port, self.andon_port = None, 0, 0
        self.andon_host, self.token = "127.0.0.1", None

    def start(self, timeout=30):
        arguments = ["run", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                     "--andon-listen", f"{self.andon_host}:{self.andon_port}"]
        if self.config:
            arguments += ["--config", self.config]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.wrapper + [self.binary] + arguments, stdout=subprocess.PIPE, stderr=log,
                                            env=self.env, text=True)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"tai run ended with {self.process.wait()}:\n{self.log()}")
            if line.startswith("signals"):
                self.port = int(line.rsplit(":", 1)[1].split("/")[0])
            if line.startswith("andon"):
                self.andon_port = int(line.rsplit(":", 1)[1].split("/")[0])
                return self
        raise RuntimeError("tai run was not ready in time:\n" + self.log())

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()[-8000:]

    def worker_pid(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            pids = children.read().split()
        return int(pids[0]) if pids else None

    def stop(self, timeout=15):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self):
        """kill -9 the supervisor; the worker goes by its lifeline."""
        worker = self.worker_pid()
        self.process.kill()
        self.process.wait()
        for _ in range(1000):
            if worker is None or not os.path.exists(f"/proc/{worker}"):
                return
            time.sleep(0.01)
        raise RuntimeError("the worker outlived its supervisor by 10 s")

    def post(self, body, headers=None, path="/v1/signals", timeout=30):
        """Returns (status, parsed JSON or None, headers)."""
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})}, self.port, timeout)

    def get(self, path, port=None, timeout=30):
        headers = {"Authorization": "Bearer " + self.token} if self.token and not port else {}
        return self.request("GET", path, None, headers, port or self.andon_port, timeout)

    @staticmethod
    def request(method, path, body, headers, port, timeout):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            raw = response.read()
            try:
                parsed = json.loads(raw)
            except ValueError:
                parsed = raw.decode("utf-8", "replace")
            return response.status, parsed, dict(response.getheaders())
        finally:
            connection.close()

    def cli_env(self):
        return {**self.env, "TAI_SERVER": f"http://127.0.0.1:{self.andon_port}", "TAI_INGRESS": f"http://127.0.0.1:{self.port}"}

    def cli(self, *arguments, **options):
        return subprocess.run([self.binary, *arguments], capture_output=True, text=True, timeout=120, env=self.cli_env(),
                              check=False, **options)

    def totals(self):
        return self.get("/v1/status")[1]

    def settle(self, timeout=60):
        """Waits until nothing is queued, in flight or without its receipt."""
        deadline = time.monotonic() + timeout
        calm = 0
        while time.monotonic() < deadline:
            before = self.export_size()
            busy = self.metric("tai_kanban_depth_signals") + self.totals().get("outcomes_open", 0)
            calm = calm + 1 if busy == 0 and before == self.export_size() else 0
            if calm >= 3:
                return
            time.sleep(0.1)
        raise RuntimeError(f"not settled after {timeout} s: {self.totals()}\n{self.log()}")

    def export_size(self):
        status, body, _ = self.get("/checkpoint")
        return int(body.split("\n")[1]) if status == 200 and isinstance(body, str) else 0

    def metric(self, name):
        """Sum over the series of a metric on the ingress listener; 0 if there is none."""
        text = self.get("/metrics", self.port)[1]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith(name) and line[len(name)] in " {")

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        if self.process and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        if self.own_data and not exception[0]:
            shutil.rmtree(self.data, ignore_errors=True)
