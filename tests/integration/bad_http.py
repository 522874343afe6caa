#!/usr/bin/python3
"""Malformed, oversized, slow and cut requests against real listeners: bad_http.py TAI [TEST…]."""
import json
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import main, wait_for  # noqa: E402
from raw import Connection, ask, chunked, post  # noqa: E402

BODY = b'{"id":"%s","tenant_id":"acme","sku_id":"s","type":"usage"}'
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def signal(identity):
    return BODY % identity.encode()


def head(*lines, first="POST /v1/signals HTTP/1.1", host="Host: localhost", kind="Content-Type: application/json"):
    return "\r\n".join([first, *[x for x in (host, kind) if x], *lines]).encode("latin-1") + b"\r\n\r\n"


def serves(t, tai, identity):
    """A good request is still answered: what came before did no harm."""
    t.equal(f"status of the good request {identity}", ask(tai.port, post(signal(identity))).status, 202)


# What another parser might read differently (request smuggling), or not at all: the bytes, the status.
BAD = {
    "two different Content-Length": (head("Content-Length: 3", "Content-Length: 40") + b"{} " + GET, 400),
    "the same Content-Length twice": (head("Content-Length: 2", "Content-Length: 2") + b"{}", 400),
    "Content-Length as a list": (head("Content-Length: 2, 2") + b"{}", 400),
    "Content-Length: +3": (head("Content-Length: +3") + b"{} ", 400),
    "Content-Length: -1": (head("Content-Length: -1"), 400),
    "Content-Length: 0x2": (head("Content-Length: 0x2") + b"{}", 400),
    "empty Content-Length": (head("Content-Length:"), 400),
    "space before the colon": (head("Content-Length : 2") + b"{}", 400),
    "Content-Length of 2^64": (head("Content-Length: 18446744073709551616"), 413),
    "length and chunked": (head("Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + GET, 400),
    "chunk size 0x3": (head("Transfer-Encoding: chunked") + b"0x3\r\n{} \r\n0\r\n\r\n", 400),
    "chunk size +3": (head("Transfer-Encoding: chunked") + b"+3\r\n{} \r\n0\r\n\r\n", 400),
    "chunk size empty": (head("Transfer-Encoding: chunked") + b"\r\n{} \r\n0\r\n\r\n", 400),
    "chunk size beyond 64 bits": (head("Transfer-Encoding: chunked") + b"10000000000000000\r\n", 400),
    "chunk size of nearly 2^64": (head("Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n", 413),
    "chunk longer than its size": (head("Transfer-Encoding: chunked") + b"1\r\n{}\r\n0\r\n\r\n", 400),
    "bare LF after a chunk size": (head("Transfer-Encoding: chunked") + b"2\n{}\r\n0\r\n\r\n", 400),
    "chunked twice": (head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "chunked, but not last": (head("Transfer-Encoding: chunked, identity") + b"0\r\n\r\n", 400),
    "unknown coding": (head("Transfer-Encoding: gzip") + b"0\r\n\r\n", 501),
    "unknown coding before chunked": (head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "coding in HTTP/1.0": (head("Transfer-Encoding: chunked", first="POST /v1/signals HTTP/1.0") + b"0\r\n\r\n", 400),
    "empty header name": (head(": x", "Content-Length: 2") + b"{}", 400),
    "header without colon": (head("nonsense", "Content-Length: 2") + b"{}", 400),
    "space in a header name": (head("X Y: z", "Content-Length: 2") + b"{}", 400),
    "folded header": (head("X-A: b\r\n c", "Content-Length: 2") + b"{}", 400),
    "NUL in a value": (head("X-A: b\0c", "Content-Length: 2") + b"{}", 400),
    "CR in a value": (head("X-A: b\rc", "Content-Length: 2") + b"{}", 400),
    "bare LF line ends": (head("Content-Length: 2").replace(b"\r\n", b"\n") + b"{}", 400),
    "one bare LF": (b"POST /v1/signals HTTP/1.1\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 400),
    "no Host": (head("Content-Length: 2", host=None) + b"{}", 400),
    "two Hosts": (head("Host: localhost", "Content-Length: 2") + b"{}", 400),
    "empty Host": (head("Content-Length: 2", host="Host:") + b"{}", 400),
    "Host with a path": (head("Content-Length: 2", host="Host: localhost/x") + b"{}", 400),
    "two Content-Types": (head("Content-Type: text/plain", "Content-Length: 2") + b"{}", 400),
    "two Authorizations": (head("Authorization: a", "Authorization: b", "Content-Length: 2") + b"{}", 400),
    "ICE protocol": (b"SOURCE / ICE/1.0\r\nHost: localhost\r\n\r\n", 400),
    "RTSP protocol": (b"DESCRIBE / RTSP/1.0\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": (head(first="GET /livez HTTP/1.2", kind=None), 505),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), 400),
    "bytes from 0x80 in the target": ("GET /livez\u00e9 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1"), 400),
    "fragment in the target": (head(first="GET /livez#x HTTP/1.1", kind=None), 400),
    "two spaces": (head(first="GET  /livez HTTP/1.1", kind=None), 400),
    "target without slash": (head(first="GET livez HTTP/1.1", kind=None), 400),
    "CONNECT": (head(first="CONNECT localhost:22 HTTP/1.1", kind=None), 501),
    "unknown method": (head(first="BREW /livez HTTP/1.1", kind=None), 501),
    "101 header fields": (head(*[f"X-{i}: {i}" for i in range(101)], first="GET /livez HTTP/1.1"), 431),
    "Expect: 200-ok": (head("Expect: 200-ok", "Content-Length: 2"), 417),
    "noise": (bytes(range(256)), 400),
}


def test_malformed(t):
    with t.tai() as tai:
        for name, (data, status) in BAD.items():
            for port in (tai.port, tai.andon_port):
                with Connection(port) as connection:
                    connection.send(data)
                    answer = connection.answer()
                    t.equal(f"status of {name}", answer.status, status)
                    t.equal(f"type of the answer to {name}", answer.headers.get("content-type"),
                            "application/problem+json")
                    t.equal(f"status in the problem of {name}", answer.json().get("status") if answer.body else 0, status)
                    t.true(f"{name}: closed after one answer, nothing smuggled", connection.closed(), connection.buffer)
        serves(t, tai, "still-there")
        tai.settle()
        t.equal("signals taken", tai.totals()["signals"]["taken"], 1)
        t.equal("SIGTERM", tai.stop(), 0)


def test_routes(t):
    cases = [("GET /v1/signals", 405), ("DELETE /v1/signals", 405), ("POST /v1/signals/", 404), ("POST /", 404),
             ("GET /livez", 200), ("GET /livez?x=%zz", 400), ("GET /livez?x=%00", 400), ("POST /livez", 405),
             ("GET http://localhost/livez", 200), ("GET http://a@localhost/livez", 400), ("OPTIONS *", 204)]
    with t.tai() as tai:
        for line, status in cases:
            answer = ask(tai.port, head("Content-Length: 0", first=line + " HTTP/1.1"))
            t.equal(f"status of {line}", answer.status, status)
            if status == 405:
                t.true(f"Allow of {line}", answer.headers.get("allow") in ("POST", "GET, HEAD"), answer.headers)
        answer = ask(tai.port, head(first="HEAD /livez HTTP/1.1", kind=None), head=True)
        t.equal("HEAD", (answer.status, answer.body), (200, b""))
        with Connection(tai.port) as connection:
            connection.send(b"GET /livez HTTP/1.0\r\n\r\n")
            t.equal("HTTP/1.0", (connection.answer().status, connection.closed()), (200, True))
        for path, status in [("/v1/receipts?limit=0", 400), ("/v1/receipts?limit=1001", 400), ("/v1/receipts?colour=1", 400),
                             ("/v1/receipts?after=x", 400), ("/v1/receipts/x", 400), ("/v1/governors?state=x", 400),
                             ("/v1/governors/a/b", 404), ("/v1/signals/x?tenant_id=a&tenant_id=b", 400), ("/v1/x", 404)]:
            t.equal(f"status of andon's {path}", tai.get(path)[0], status)


def test_cut_everywhere(t):
    """Cut at every byte: nothing of a part is taken; the same parts joined by their tail are."""
    with t.tai() as tai:
        accepted = 0
        for name, make in {"length": lambda i: post(signal(i)),
                           "chunks": lambda i: chunked(signal(i)[:9], signal(i)[9:], tail=b"0\r\nX-T: x\r\n\r\n")}.items():
            for cut in range(1, len(make("0000"))):
                data = make(f"{cut:04}")
                with Connection(tai.port) as connection:
                    connection.send(data[:cut])
                data = make(f"{name[0]}{cut:03}")
                with Connection(tai.port) as connection:
                    connection.send(data[:cut])
                    connection.send(data[cut:])
                    status = connection.answer().status
                    accepted += status == 202
                    if status != 202:
                        t.equal(f"status of a request ({name}) that came in two parts, cut at byte {cut}", status, 202)
        wait_for("all to be taken", lambda: tai.totals()["signals"]["taken"] >= accepted)
        tai.settle()
        t.equal("signals taken", tai.totals()["signals"]["taken"], accepted)
        t.true("requests were cut", accepted > 300, accepted)
        serves(t, tai, "after")


def padded(identity, size):
    """A signal of exactly that many bytes."""
    body = b'{"id":"%s","tenant_id":"acme","sku_id":"s","type":"usage","data":"%s"}'
    return body % (identity.encode(), b"x" * (size - len(body % (identity.encode(), b""))))


def test_sizes(t):
    kib, mib = 1024, 1024 * 1024
    with t.tai() as tai:
        t.equal("a signal of 64 KiB", ask(tai.port, post(padded("a", 64 * kib))).status, 202)
        answer = ask(tai.port, post(padded("b", 64 * kib + 1)))
        t.equal("one byte more", answer.status, 413)
        t.contains("its detail", answer.detail(), "65537")
        batch = b"[" + padded("c", 60 * kib) + b"]"
        whole = batch + b" " * (mib - len(batch))
        t.equal("a body of 1 MiB", ask(tai.port, post(whole)).status, 202)
        answer = ask(tai.port, post(whole + b" "))
        t.equal("one byte more", (answer.status, answer.headers.get("connection")), (413, "close"))
        t.equal("1 MiB in chunks", ask(tai.port, chunked(whole[:mib // 2], whole[mib // 2:])).status, 202)
        t.equal("one byte more", ask(tai.port, chunked(whole[:mib // 2], whole[mib // 2:], b" ")).status, 413)
        t.equal("announced only", ask(tai.port, post(b"", length=mib + 1)).status, 413)
        answer = ask(tai.port, post(b"[" + padded("d", 64 * kib) + b"," + padded("e", 64 * kib + 1) + b"]"))
        t.equal("an item one byte over", [r["status"] for r in answer.json()["results"]], [202, 413])
        line = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n"
        for size, status in ((16 * kib, 200), (16 * kib + 1, 431)):
            data = line.replace(b"X: ", b"X: " + b"y" * (size - len(line)))
            t.equal(f"headers of {size} bytes", ask(tai.port, data).status, status)
        t.equal("an endless request line", ask(tai.port, b"GET /" + b"x" * 17 * kib).status, 431)
        answer = ask(tai.port, post(b"[" + b"[" * 20 + b"]" * 20 + b"]"))
        t.equal("nested too deep", answer.status, 400)
        t.contains("its detail", answer.detail(), "byte 16")
        serves(t, tai, "after")


def test_pipelining(t):
    with t.tai() as tai, Connection(tai.port) as connection:
        connection.send(post(signal("p1")) + GET + post(b"[]") + chunked(signal("p2")) + post(signal("p3")))
        answers = [connection.answer() for _ in range(5)]
        t.equal("statuses in order", [a.status for a in answers], [202, 200, 202, 202, 202])
        t.equal("X-Signal-Ids", [a.headers.get("x-signal-id") for a in answers], ["p1", None, None, "p2", "p3"])
        connection.send(post(signal("p4")) + head(": x", "Content-Length: 2") + post(signal("p5")))
        t.equal("good, bad, never read", [connection.answer().status for _ in range(3)], [202, 400, 0])
        many = b"".join(post(signal(f"m{i}")) for i in range(300))
        with Connection(tai.port) as other:
            other.send(many)
            t.equal("300 at once", {other.answer().status for _ in range(300)}, {202})
            other.send(b"\r\n\r\n" + GET)
            t.equal("after empty lines", other.answer().status, 200)
        tai.settle()
        t.equal("signals taken", tai.totals()["signals"]["taken"], 304)


def test_expect(t):
    body = signal("x1")
    with t.tai() as tai:
        with Connection(tai.port) as connection:
            connection.send(post(b"", "/v1/signals", "Expect: 100-continue", length=len(body)))
            t.equal("interim answer", connection.answer().status, 100)
            connection.send(body)
            t.equal("final answer", connection.answer().status, 202)
        for name, data, status in (("too large", post(b"", "/v1/signals", "Expect: 100-continue", length=2**21), 413),
                                   ("no such path", post(b"", "/x", "Expect: 100-continue", length=9), 404)):
            t.equal(f"no 100 when {name}", ask(tai.port, data).status, status)
        serves(t, tai, "after")


def test_slow(t):
    """The deadline is for the request in all: a byte now and then does not stretch it."""
    with t.tai("ingress:\n  request_deadline: 1s\n  idle_timeout: 1s\n") as tai:
        data = post(signal("slow"))
        for name, sent in (("head", 0), ("body", data.index(b"\r\n\r\n") + 4)):
            with Connection(tai.port) as connection:
                began = time.monotonic()
                connection.send(data[:sent + 1])
                connection.socket.settimeout(0.1)
                while time.monotonic() - began < 10:
                    sent += 1
                    try:
                        connection.send(data[sent:sent + 1])
                        if connection.fill():
                            break
                    except TimeoutError:
                        pass
                took = time.monotonic() - began
                connection.socket.settimeout(10)
                t.equal(f"status of a slow {name}", connection.answer().status, 408)
                t.true(f"a slow {name} is ended after about 1 s", 0.8 < took < 5, took)
        slow = [Connection(tai.port) for _ in range(100)]
        for connection in slow:
            connection.send(b"POST /v1/sig")
        serves(t, tai, "meanwhile")
        t.equal("statuses of 100 slow ones", {c.answer().status for c in slow}, {408})
        with Connection(tai.port) as connection:
            began = time.monotonic()
            t.true("an idle connection is closed without a word", connection.closed(), connection.buffer)
            t.true("this takes about 1 s", 0.8 < time.monotonic() - began < 5, time.monotonic() - began)
        t.equal("SIGTERM", tai.stop(), 0)


def test_connections(t):
    with t.tai("ingress:\n  max_connections: 8\n") as tai:
        idle = [Connection(tai.port) for _ in range(12)]
        for connection in idle[4:]:
            connection.send(GET)
            t.equal("status on one of the newest 8", connection.answer().status, 200)
        t.equal("the oldest 4 are closed", [c.closed() for c in idle[:4]], [True] * 4)
        serves(t, tai, "one-more")
        t.true("for which the one idle longest made room", idle[4].closed(), idle[4].buffer)
        for connection in idle[5:]:
            connection.send(GET)
            t.equal("status on the other 7", connection.answer().status, 200)
        t.equal("SIGTERM with idle connections", tai.stop(), 0)


def test_out_of_descriptors(t):
    """Fewer descriptors than connections: the oldest idle ones make room."""
    with t.tai(wrapper=["prlimit", "--nofile=64:64"]) as tai:
        idle = [Connection(tai.port) for _ in range(200)]
        for i in range(20):
            serves(t, tai, f"meanwhile-{i}")
        for connection in idle:
            connection.close()
        serves(t, tai, "after")
        wait_for("descriptors to be free again", lambda: ask(tai.andon_port, GET).status == 200, 10)
        t.equal("SIGTERM", tai.stop(), 0)


def test_clients_that_leave(t):
    """Gone before the answer: the signal counts, once; nothing is left of the connection."""
    with t.tai() as tai:
        for i in range(200):
            with Connection(tai.port) as connection:
                connection.send(post(signal(f"gone-{i}")))
                if i % 2:
                    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        serves(t, tai, "after")
        tai.settle()
        endings = [r["signal_id"] for r in ledger.receipts_of(tai, "acme") if "ending" in r]
        t.equal("ids that ended twice", len(endings) - len(set(endings)), 0)
        t.true("those that closed without a reset have ended", {f"gone-{i}" for i in range(0, 200, 2)} <= set(endings))
        wait_for("the connections to be gone", lambda: tai.metric("tai_http_connections") <= 2, 10)


def test_web_pages(t):
    with t.tai() as tai:
        for host, status in (("localhost", 202), ("127.0.0.1:8080", 202), ("[::1]:8080", 202), ("LOCALHOST:1", 202),
                             ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("10.0.0.1", 403),
                             ("localhost.evil.example:8080", 403)):
            answer = ask(tai.port, post(b"[]").replace(b"Host: localhost", b"Host: " + host.encode()))
            t.equal(f"status with Host: {host}", answer.status, status)
            answer = ask(tai.andon_port, head(first="GET /v1/status HTTP/1.1", host="Host: " + host))
            t.equal(f"andon's status with Host: {host}", answer.status, 403 if status == 403 else 200)
        for origin in ("http://evil.example", "null", "http://localhost:1"):
            t.equal(f"status with Origin: {origin}", ask(tai.port, post(b"[]", "/v1/signals", f"Origin: {origin}")).status,
                    403)
            answer = ask(tai.andon_port, head(f"Origin: {origin}", first="GET /v1/status HTTP/1.1"))
            t.equal(f"andon's status with Origin: {origin}", answer.status, 403)
        own = f"localhost:{tai.andon_port}"
        answer = ask(tai.andon_port, head(f"Origin: http://{own}", first="GET /v1/status HTTP/1.1", host="Host: " + own))
        t.equal("andon's own page", answer.status, 200)


def test_media(t):
    with t.tai() as tai:
        for kind, status in (("application/json", 202), ("application/json; charset=utf-8", 202),
                             ('Application/JSON;charset="UTF-8"', 202), ("application/json; charset=latin-1", 415),
                             ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("application/jsonx", 415),
                             (None, 415)):
            answer = ask(tai.port, post(b"[]", content_type=kind))
            t.equal(f"status of Content-Type {kind}", answer.status, status)
            if status == 415:
                t.contains("the detail", answer.detail(), "application/json")
        for coding, status in (("gzip", 415), ("identity", 202)):
            t.equal(f"status of Content-Encoding {coding}",
                    ask(tai.port, post(b"[]", "/v1/signals", f"Content-Encoding: {coding}")).status, status)


BAD_JSON = [
    (b"", 0), (b" ", 1), (b"{", 1), (b'{"a"', 4), (b'{"a":1,}', 7), (b'{"a":1 "b":2}', 7), (b"{'a':1}", 1), (b"[1,]", 3),
    (b'{"a":01}', 6), (b'{"a":+1}', 5), (b'{"a":.5}', 5), (b'{"a":1.}', 7), (b'{"a":1e}', 7), (b'{"a":NaN}', 5),
    (b'{"a":Infinity}', 5), (b'{"a":tru}', 8), (b'{"a":"\t"}', 6), (b'{"a":"\\x"}', 7), (b'{"a":"\\u00g0"}', 10),
    (b'{"a":"\\ud800"}', 6), (b'{"a":"\\udc00"}', 6), (b'{"a":"\\u0000"}', 6), (b'{"a":"\0"}', 6), (b'{"a":"\xff"}', 6),
    (b'{"a":"\xc0\xa0"}', 6), (b'{"a":"\xed\xa0\x80"}', 6), (b'{"a":1,"b":2,"a":3}', 13), (b'{"a":1,"\\u0061":3}', 7),
    (b"{}{}", 2), (b"{} x", 3), (b"\xef\xbb\xbf{}", 0), (b"[" * 17 + b"]" * 17, 16), (b"7", 0), (b'"x"', 0), (b"null", 0),
]


def test_json(t):
    with t.tai() as tai:
        for body, offset in BAD_JSON:
            answer = ask(tai.port, post(body))
            t.equal(f"status of {body!r}", answer.status, 400)
            t.contains(f"detail for {body!r}", answer.detail(), f"byte {offset}:")
        serves(t, tai, "after")


BAD_FIELDS = [
    ({"tennant_id": "a"}, 'unknown field "tennant_id", did you mean "tenant_id"?'),
    ({"Type": "a"}, 'unknown field "Type", did you mean "type"?'),
    ({"entitlementid": "a"}, 'did you mean "entitlement_id"?'),
    ({"wholly-foreign": 1}, 'unknown field "wholly-foreign"'),
    ({"id": ""}, "id must"), ({"id": "x" * 129}, "id must"), ({"id": "a b"}, "id must"), ({"id": 7}, "id must"),
    ({"tenant_id": "_x"}, "tenant_id must"), ({"tenant_id": "a/b"}, "tenant_id must"),
    ({"tenant_id": "x" * 65}, "tenant_id must"), ({"tenant_id": None}, "tenant_id"),
    ({"type": "Usage"}, "type must"), ({"type": ""}, "type must"), ({"type": "x" * 129}, "type must"),
    ({"entitlement_id": "\u00e9"}, "entitlement_id must"), ({"sku_id": []}, "sku_id must"),
    ({"severity": "fatal"}, "severity must"), ({"time": "yesterday"}, "time must"), ({"time": "2026-02-30T00:00:00Z"}, "time"),
    ({"source": "a b"}, "source must"), ({"source": "x" * 257}, "source must"), ({"traceparent": "00-0-0-0"}, "traceparent"),
]


def test_fields(t):
    good = {"id": "f", "tenant_id": "acme", "entitlement_id": "e", "type": "usage"}
    with t.tai() as tai:
        for change, part in BAD_FIELDS:
            body = json.dumps({**good, **change})
            answer = ask(tai.port, post(body))
            t.equal(f"status with {change}", answer.status, 400)
            t.contains(f"detail with {change}", answer.detail(), part)
            t.contains(f"detail with {change}", answer.detail(), "byte ")
        for name in ("tenant_id", "type", "entitlement_id"):
            answer = ask(tai.port, post({k: v for k, v in good.items() if k != name}))
            t.equal(f"status without {name}", answer.status, 400)
            t.contains(f"detail without {name}", answer.detail(), f"{name} is missing")
        full = {**good, "id": "A9._:@/+=~-" + "x" * 117, "tenant_id": "A9._-" + "x" * 59, "type": "a9._-" + "x" * 123,
                "entitlement_id": "x" * 128, "sku_id": "x" * 128, "source": "/" + "x" * 255, "severity": "warning",
                "time": "2026-02-28T23:59:59.123+01:00", "data": {"\u00e9": [1e-3]},
                "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
        t.equal("every field at its limit", ask(tai.port, post(full)).status, 202)


if __name__ == "__main__":
    main(globals())
