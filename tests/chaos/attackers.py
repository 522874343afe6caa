"""Hostile clients, each a process of its own: idle connections, slow-loris, junk. They report what they saw when told to stop.
Standard library only."""
import multiprocessing
import os
import random
import selectors
import socket
import struct
import time

LINGER_RESET = struct.pack("ii", 1, 0)     # close resets: no port stays behind in TIME_WAIT
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"\x00", b"POST" * 50)


def source(rng):
    """Loopback has many addresses, and each as many ports."""
    return f"127.0.{rng.randrange(1, 200)}.{rng.randrange(1, 250)}"


def connect(port, address=None):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    if address:
        connection.bind((address, 0))
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    return connection


class Attacker:
    """main(port, stop, report, …) in a child; a context manager."""

    def __init__(self, main, *arguments):
        self.stopping, (self.reports, child) = multiprocessing.Event(), multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=main, args=(self.stopping, child, *arguments), daemon=True)
        self.seen = {}

    def __enter__(self):
        self.process.start()
        return self

    def wait(self, timeout):
        """The next report, {} if there is none in time. The last one stays in seen."""
        try:
            report = self.reports.recv() if self.reports.poll(timeout) else {}
        except EOFError:
            report = {}
        self.seen = report or self.seen
        return report

    def __exit__(self, *exception):
        self.stopping.set()
        self.process.join(20)
        while self.reports.poll(0) and self.wait(0):
            pass
        if self.process.is_alive():
            self.process.kill()


def idle(stopping, report, port, count):
    """Holds that many connections without a request; each that is closed is opened anew. Reports when all are open."""
    rng = random.Random(0)
    selector, opened, closed = selectors.DefaultSelector(), 0, 0
    while not stopping.is_set():
        while opened - closed < count and not stopping.is_set():
            connection = connect(port, source(rng))
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
            opened += 1
            if opened == count:
                report.send({"open": count})
        for key, _ in selector.select(0.2):
            selector.unregister(key.fileobj)
            key.fileobj.close()
            closed += 1
    report.send({"opened": opened, "closed": closed})


class Slow:
    """One slow request: a byte now and then."""
    REQUEST = (b"POST /v1/signals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               b"Content-Length: 400\r\nX-Pad: " + b"x" * 4000)

    def __init__(self, port, rng):
        self.socket, self.sent, self.began = connect(port, source(rng)), 0, time.monotonic()

    def step(self, seen):
        """False when it is over."""
        try:
            self.socket.setblocking(False)
            self.socket.send(self.REQUEST[self.sent:self.sent + 1])
            self.sent += 1
            answer = self.socket.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            answer = b""
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
        seen[status] = seen.get(status, 0) + 1
        seen["longest"] = max(seen.get("longest", 0.0), time.monotonic() - self.began)
        self.socket.close()
        return False


def loris(stopping, report, port, count):
    """That many requests at a time, each of them a byte every half second, for as long as the server bears it."""
    rng, seen = random.Random(1), {}
    slow = [Slow(port, rng) for _ in range(count)]
    while not stopping.wait(0.5):
        slow = [one for one in slow if one.step(seen)]
        slow += [Slow(port, rng) for _ in range(count - len(slow))]
    report.send(seen)


# --- junk -------------------------------------------------------------------------------------------------------------

def read_corpus(root, name):
    folder = os.path.join(root, name)
    seeds = []
    for entry in sorted(os.listdir(folder)):
        with open(os.path.join(folder, entry), "rb") as seed:
            seeds.append(seed.read())
    return seeds


def mutate(rng, data, others):
    data = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 5, 20))):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 1:
            del data[at:at + rng.randrange(1, 16)]
        elif kind == 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 8)))
        elif kind == 3:
            data[at:at] = data[:rng.randrange(64)] * rng.choice((1, 2, 50))
        elif kind == 4:
            other = rng.choice(others)
            data[at:] = other[rng.randrange(len(other) + 1):]
        elif data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
    return bytes(data[:200000])


def junk_request(rng, requests, bodies):
    if rng.random() < 0.5:
        return mutate(rng, rng.choice(requests), requests)
    body = mutate(rng, rng.choice(bodies), bodies)
    length = len(body) if rng.random() < 0.9 else rng.randrange(1 << rng.randrange(1, 40))
    method = b"POST" if rng.random() < 0.9 else rng.choice(METHODS)
    return b"%s /v1/signals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        method, length, body)


def exchange(port, data, address):
    """Sends it all and reads to the end; the status of the first answer, 0 without one, -1 if nothing came in time."""
    try:
        with connect(port, address) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                part = connection.recv(65536)
                if not part:
                    break
                answer = (answer + part)[:16]
    except socket.timeout:
        return -1
    except OSError:
        return 0
    if not answer:
        return 0
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else -2


def junk(stopping, report, ports, corpora, count, seed):
    """That many mutated requests, or until told to stop; reports how often each status came."""
    rng, seen = random.Random(seed), {}
    requests = [data[2:] for data in read_corpus(corpora, "http")]    # two bytes say where the fuzzer cuts
    bodies = [data for name in ("json", "signal") for data in read_corpus(corpora, name)]
    for _ in range(count):
        if stopping.is_set():
            break
        status = exchange(rng.choice(ports), junk_request(rng, requests, bodies), source(rng))
        seen[status] = seen.get(status, 0) + 1
    report.send(seen)
