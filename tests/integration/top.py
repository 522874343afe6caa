"""`tai top`: rates and latencies of known metrics, lines and JSON, the page on a terminal, its end by key and by signal,
a changed window, a server that goes away. Usage: top.py BINARY"""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from checks import main  # noqa: E402

STATUS = {"status": "serving", "signals": {"waiting": 7, "acting": 1}, "governors": 3, "governors_in": {"active": 2, "halted": 1},
          "outcomes_open": 4, "lag_ms": 5, "deadletters": {"open": 2, "policy": 2}, "conservation": {"gap": 0, "balance": 0}}


class Fake:
    """Both listeners in one; every look at /metrics finds `step` more signals, all decided within 1 and 2 ms."""

    def __init__(self, step):
        self.count, self.step = 0, step
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = fake.answer(self.path.split("?")[0]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path):
        if path == "/metrics":
            self.count += self.step
            n = self.count
            return (f'tai_ingress_signals_total{{result="accepted"}} {n}\ntai_ingress_signals_total{{result="invalid"}} {n // 10}\n'
                    f'tai_jidoka_signals_taken_total {n}\ntai_kanban_depth_signals 12\n'
                    f'tai_signal_decision_seconds_bucket{{le="0.001"}} 0\ntai_signal_decision_seconds_bucket{{le="0.002"}} {n}\n'
                    f'tai_signal_decision_seconds_bucket{{le="+Inf"}} {n}\n')
        if path == "/health":
            return '{"status":"pass"}'
        if path == "/v1/status":
            return json.dumps(STATUS)
        return json.dumps({"partitions": [{"partition": 3, "owner": "run-\u001b[2J", "taken": self.count, "depth": 12}]})

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def environment(fake):
    return {**os.environ, "TAI_SERVER": fake.url, "TAI_INGRESS": fake.url, "TERM": "xterm"}


def lines(binary, fake, *arguments):
    return subprocess.run([binary, "top", "-i", "1", *arguments], capture_output=True, text=True, timeout=60,
                          env=environment(fake), check=False)


class Terminal:
    """`tai top` on a terminal of its own."""

    def __init__(self, binary, fake):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(binary, [binary, "top", "-i", "1"], environment(fake))
        self.seen = b""
        self.size(40, 100)

    def size(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, part, seconds=30):
        """What was written up to and with part, from now on."""
        self.seen, deadline = b"", time.monotonic() + seconds
        while part not in self.seen and time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    break
        return part in self.seen

    def raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def end(self):
        gone = self.until(b"\x1b[?25h\x1b[?1049l")
        _, status = os.waitpid(self.pid, 0)
        return gone, status


def test_lines(t):
    fake = Fake(100)
    seen = lines(t.binary, fake, "--count", "2")
    t.equal("two lines", (seen.returncode, len(seen.stdout.splitlines())), (0, 2))
    t.contains("a line", seen.stdout, "queued 12  waiting 7  dead letters 2  lag 5 ms")
    looks = [json.loads(line) for line in lines(t.binary, fake, "--count", "2", "--json").stdout.splitlines()]
    for look in looks:  # both listeners ask one fake: 200 a look
        t.true("a rate", 100 < look["accepted_per_s"] <= 210, look)
        t.true("p50 between the bounds", 1 < look["decision_p50_ms"] < 2, look)
        t.true("p99 above", look["decision_p50_ms"] < look["decision_p99_ms"] <= 2, look)
        t.true("nothing was appended", look["append_p99_ms"] is None and look["receipts_per_s"] == 0, look)
    t.equal("the status", looks[0]["status"], STATUS)
    fake.stop()
    gone = lines(t.binary, fake, "--count", "1")
    t.true("nobody answers: 3, and how to start", gone.returncode == 3 and "tai run" in gone.stdout, gone)
    t.equal("no URL", lines(t.binary, fake, "--server", "ftp://x").returncode, 2)
    t.equal("no interval", lines(t.binary, fake, "--interval", "0").returncode, 2)


def test_page(t):
    fake = Fake(100)
    terminal = Terminal(t.binary, fake)
    t.true("the other page", terminal.until(b"\x1b[?1049h"))
    t.true("it is drawn", terminal.until(b"\x1b[J"))
    first = terminal.seen.decode("utf-8", "replace")
    for part in ("tai top", fake.url, "ingress pass", "andon pass", "7 waiting", "3: 2 active, 1 halted", "2 policy", "PART"):
        t.contains("the page", first, part)
    t.true("no control characters of the server", "run-\x1b[2J" not in first)
    t.true("drawn again, with rates", terminal.until(b"\x1b[J") and terminal.until(b"ms\x1b[0m"))
    t.true("character mode", terminal.raw())
    terminal.size(5, 30)
    terminal.until(b"\x1b[J")
    terminal.until(b"\x1b[J")
    page = terminal.seen.rsplit(b"\x1b[H", 1)[1].split(b"\x1b[J")[0]
    rows = page.split(b"\r\n")
    t.true("a small window: five rows of it", len(rows) == 5, rows)
    fake.stop()
    t.true("a server that is gone is said", terminal.until(b"nothing answers"))
    os.write(terminal.fd, b"q")
    t.equal("q ends it with 0, the page is left", terminal.end(), (True, 0))


def test_signals(t):
    fake = Fake(1)
    for number, send in [(signal.SIGINT, lambda pid, fd: os.write(fd, b"\x03")),
                         (signal.SIGTERM, lambda pid, fd: os.kill(pid, signal.SIGTERM)),
                         (signal.SIGHUP, lambda pid, fd: os.kill(pid, signal.SIGHUP))]:
        terminal = Terminal(t.binary, fake)
        t.true("drawn", terminal.until(b"\x1b[J"))
        send(terminal.pid, terminal.fd)
        gone, status = terminal.end()
        t.true(f"{number.name}: the page is left, and it ends by that signal", gone and os.WTERMSIG(status) == number, status)
    terminal = Terminal(t.binary, fake)
    terminal.until(b"\x1b[J")
    with open(f"/proc/{terminal.pid}/task/{terminal.pid}/children", encoding="ascii") as children:
        os.kill(int(children.read().split()[0]), signal.SIGKILL)
    t.true("the view is killed: the page is left too", terminal.end()[0])
    fake.stop()


main(globals())
