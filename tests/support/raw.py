"""HTTP by hand: bytes out, answers in. Standard library only."""
import json
import socket


class Answer:
    """One answer; status 0: the connection ended without one. headers: names in lower case, the first of each."""

    def __init__(self, status=0, headers=None, body=b""):
        self.status, self.headers, self.body = status, headers or {}, body

    def json(self):
        return json.loads(self.body)

    def detail(self):
        try:
            return self.json().get("detail", "")
        except ValueError:
            return self.body.decode("utf-8", "replace")


class Connection:
    """A client socket that reads answers one by one."""

    def __init__(self, port, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.buffer = b""

    def send(self, data):
        """False if the other side has closed."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def answer(self, head=False):
        """The next answer, 100 Continue included; head: it answers a HEAD and has no body."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return Answer()
        top, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = top.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers.setdefault(name.lower(), value.strip())
        status, length = int(lines[0].split(" ")[1]), int(headers.get("content-length", 0))
        length = 0 if head or status == 100 else length
        while len(self.buffer) < length:
            if not self.fill():
                return Answer()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(status, headers, body)

    def closed(self):
        """Waits for the end; False if something else comes."""
        return not self.buffer and not self.fill()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def ask(port, data, head=False):
    """One request on a connection of its own; the answer."""
    with Connection(port) as connection:
        connection.send(data)
        return connection.answer(head)


def post(body, path="/v1/signals", *lines, length=None, content_type="application/json"):
    """The bytes of a POST; lines are further header lines."""
    body = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    head = [f"POST {path} HTTP/1.1", "Host: localhost"]
    head += [f"Content-Type: {content_type}"] if content_type else []
    head += [f"Content-Length: {len(body) if length is None else length}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def chunked(*chunks, tail=b"0\r\n\r\n"):
    """The bytes of a POST whose body comes in chunks."""
    return (b"POST /v1/signals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + tail)
