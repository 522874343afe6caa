#!/usr/bin/python3
"""npm's jose verifies the receipts as JWS that peers.py kept, against the keys as they were published, and comes to the
same payloads and refusals. jose.py DIRECTORY KEPT: where the package is kept between runs; what peers.py wrote.

Node is Debian's. The package is fetched from the npm registry (npm_config_registry, or npm's own) and held against its
digest; where no registry can be reached the test is skipped, and says so."""
import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE, VERSION = "jose", "5.9.6"
SHA512 = "AMlnetc9+CV9asI19zHmrgS/WYsWUwCn2R7RzlbJWD7F9eWYUTGyBmU9o6PxngtLGOiDGPRu+Uc4fhKzbpteZQ=="
SKIPPED = 77


def fetch():
    registry = os.environ.get("npm_config_registry") or "https://registry.npmjs.org/"
    url = f"{registry.rstrip('/')}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            data = answer.read()
    except (urllib.error.URLError, OSError) as unreachable:
        print(f"SKIPPED: {url} cannot be fetched: {unreachable}")
        sys.exit(SKIPPED)
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != SHA512:
        sys.exit(f"{url} is not the package that was pinned: its SHA-512 differs")
    return data


def install(directory):
    modules = os.path.join(directory, "node_modules", PACKAGE)
    manifest = os.path.join(modules, "package", "package.json")
    if not os.path.exists(manifest):
        with tarfile.open(fileobj=io.BytesIO(fetch())) as archive:
            archive.extractall(modules)
    return os.path.join(modules, "package")


def main():
    package = install(os.path.abspath(sys.argv[1]))
    with open(sys.argv[2], encoding="utf-8") as file:
        cases = json.load(file)
    done = subprocess.run(["node", os.path.join(HERE, "verify.mjs"), package], input=json.dumps(cases), capture_output=True,
                          text=True, check=False)
    if done.returncode:
        sys.exit(f"node ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    verdicts, failed = json.loads(done.stdout), 0
    for case, verdict in zip(cases, verdicts, strict=True):
        for token, payload, seen in zip(case["tokens"], case["payloads"], verdict, strict=True):
            if seen.get("payload") != payload:
                failed += 1
                print(f"jose says {seen}, jwcrypto {payload}: {token}")
    tokens = sum(len(case["tokens"]) for case in cases)
    refused = sum(payload is None for case in cases for payload in case["payloads"])
    print(f"{tokens} tokens in {len(cases)} cases, {refused} of them to be refused: {failed} disagreements")
    sys.exit(failed > 0 or tokens < 30 or refused < 1)


main()
