"""A property tester (schemathesis) against both listeners of a real `tai run`, by the OpenAPI documents they serve: no
server errors, no statuses, types, headers or answers that are not documented, nothing malformed accepted, 405 with
Allow for other methods. Seeds are fixed. Usage: openapi.py BINARY [EXAMPLES [SEED]]

The tester is installed from PyPI, pinned (requirements.txt), into build/schemathesis; pip's own environment holds.
Where PyPI cannot be reached the test is skipped, and says so."""
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from support.tai import Tai  # noqa: E402

EXAMPLES, SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 8, int(sys.argv[3]) if len(sys.argv) > 3 else 7
SKIPPED = 77
UNREACHABLE = re.compile("connection broken|ConnectionError|SSLError|Could not fetch URL|NewConnectionError|Max retries")
CONFIG = """[checks.positive_data_acceptance]
enabled = false
[checks.negative_data_rejection]
expected-statuses = ["207", "400", "401", "403", "404", "405", "406", "413", "415", "422", "428", "429"]
"""  # A cursor that is none cannot be told by its schema; of an array the good ones are accepted.


def install():
    """The tester's own Python environment; made anew when the requirements change."""
    requirements = os.path.join(HERE, "requirements.txt")
    home = os.path.join(ROOT, "build", "schemathesis")
    stamp = os.path.join(home, "installed")
    with open(requirements, "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    if os.path.exists(stamp) and open(stamp, encoding="ascii").read() == wanted:
        return os.path.join(home, "bin", "schemathesis")
    for what, command in [("python3 -m venv (Debian package python3-venv)", ["/usr/bin/python3", "-m", "venv", "--clear", home]),
                          ("pip install", [os.path.join(home, "bin", "python"), "-m", "pip", "install", "-q", "--no-input",
                                           "-r", requirements])]:
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            print(f"SKIPPED: {what} failed, so the property tester cannot run. It needs PyPI, or a mirror of it named to pip\n"
                  f"(PIP_INDEX_URL, PIP_FIND_LINKS, a proxy):\n{done.stdout}{done.stderr}")
            sys.exit(SKIPPED if UNREACHABLE.search(done.stderr) else 1)
    with open(stamp, "w", encoding="ascii") as file:
        file.write(wanted)
    return os.path.join(home, "bin", "schemathesis")


def prepare(tai):
    """Something of every kind to be found: signals, governors, receipts, dead letters, commands."""
    for identity in ("s1", "s2", "s3"):
        tai.post({"id": identity, "tenant_id": "acme", "sku_id": "sku-1", "type": "usage"})
    tai.settle()
    tai.cli("governor", "halt", "acme", "sku-1")
    for identity in ("d1", "d2", "d3", "d4", "d5", "d6"):
        tai.post({"id": identity, "tenant_id": "acme", "sku_id": "sku-1", "type": "usage"})
    tai.settle()


def known(tai):
    """Values of path parameters that exist, by operation."""
    receipts = [r["receipt"]["receipt_id"] for r in tai.get("/v1/receipts")[1]["receipts"]]
    letters = [d["id"] for d in tai.get("/v1/deadletters")[1]["deadletters"]]
    commands = [c["command_id"] for c in tai.get("/v1/commands")[1]["commands"]]
    assert len(receipts) > 6 and len(letters) == 6 and commands
    return {"signal": {"id": ["s1", "s2", "d1"], "tenant_id": ["acme"]},
            "receipt": {"id": receipts}, "receipt_proof": {"id": receipts[:4]}, "receipt_tlog_proof": {"id": receipts[:4]},
            "receipt_jws": {"id": receipts[:4]}, "governor": {"tenant": ["acme"], "entitlement": ["sku-1", "none"]},
            "deadletter": {"id": letters}, "deadletter_requeue": {"id": letters[:3]}, "deadletter_discard": {"id": letters[3:5]}}


def with_known(document, values):
    """The document with those values instead of the patterns, so that valid requests find something."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in values.get(operation["operationId"], {}):
                    parameter["schema"] = {"type": "string", "enum": values[operation["operationId"]][parameter["name"]]}
                    parameter.pop("example", None)
    return document


def run(tester, directory, document, port, *options):
    path = os.path.join(directory, f"{port}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    done = subprocess.run([tester, "--config-file", os.path.join(directory, "schemathesis.toml"), "run", path,
                           "--url", f"http://127.0.0.1:{port}", "--seed", str(SEED), "--max-examples", str(EXAMPLES),
                           "--phases", "examples,coverage,fuzzing", "--no-color", "--continue-on-failure",
                           "--suppress-health-check", "all", *options],
                          capture_output=True, text=True, timeout=240, check=False, cwd=directory,
                          env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": HERE})
    text = "\n".join(line[:500] for line in (done.stdout + done.stderr).splitlines())
    print(text[-200:] if done.returncode == 0 else text[-20000:])
    return done.returncode == 0


def main():
    tester = install()
    good = True
    with tempfile.TemporaryDirectory() as directory, Tai(sys.argv[1]) as tai:
        with open(os.path.join(directory, "schemathesis.toml"), "w", encoding="ascii") as file:
            file.write(CONFIG)
        prepare(tai)
        andon, ingress = tai.get("/openapi.json")[1], tai.get("/openapi.json", tai.port)[1]
        for name, served in (("andon", andon), ("ingress", ingress)):
            with open(os.path.join(ROOT, "docs", f"openapi-{name}.json"), encoding="utf-8") as file:
                good &= json.load(file) == served
        # Backups write where they are told to; tests/integration/backup.py makes some.
        good &= run(tester, directory, with_known(andon, known(tai)), tai.andon_port, "--exclude-operation-id", "backup_start")
        good &= run(tester, directory, ingress, tai.port)
        good &= tai.get("/health")[0] == 200 and tai.stop() == 0
    print("all properties hold" if good else f"FAILED: again with openapi.py BINARY {EXAMPLES} {SEED}")
    return 0 if good else 1


sys.exit(main())
