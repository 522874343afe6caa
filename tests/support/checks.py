"""What the end-to-end scripts share: checks that name what was expected and go on, a private directory, waiting.

A script defines functions named test_…(t) and ends with `main(globals())`; argv is the tai binary and, if only some
are wanted, their names. Exit code 0 when every check held."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

from tai import Tai

NOBODY = 65534
ENDINGS = ("executed", "failed", "denied", "refused", "deadlettered")


class Test:
    """One test: its checks, its directory, the services it starts."""

    def __init__(self, binary, name):
        self.binary, self.name, self.failures, self.count = binary, name, [], 0
        self.services = []
        self.dir = tempfile.mkdtemp(prefix=f"tai-{name}-")
        os.chmod(self.dir, 0o755)

    def true(self, what, holds, got=""):
        self.count += 1
        if not holds:
            self.failures.append(f"expected: {what}" + (f"\n       got: {got!r}" if got != "" else ""))
            print(f"  {self.name}: {self.failures[-1]}", flush=True)
        return bool(holds)

    def equal(self, what, got, wanted):
        return self.true(f"{what} is {wanted!r}", got == wanted, got)

    def contains(self, what, text, part):
        return self.true(f"{what} contains {part!r}", part in (text or ""), text)

    def file(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def tai(self, config=None, data=None, **options):
        """A Tai, not started, below this test's directory; config is YAML text."""
        path = self.file("config.yaml", config) if config else None
        data = data or os.path.join(self.dir, "data")
        os.makedirs(data, exist_ok=True)
        self.services.append(Tai(self.binary, data=data, config=path, **options))
        return self.services[-1]

    def end(self):
        """Nothing that it started runs on."""
        for tai in self.services:
            if tai.process and tai.process.poll() is None:
                tai.kill()

    def refused_start(self, *arguments, env=None, data=None, timeout=30, nobody=False):
        """A `tai run` that must not come up: its exit code and what it said. A start that succeeds is None. nobody: not
        as root, who may read and write everything."""
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if nobody and os.geteuid() == 0 else {}
        command = [self.binary, "run", "--data", data or os.path.join(self.dir, "data")]
        if not any(argument.startswith("--listen") for argument in arguments):
            command += ["--listen", "127.0.0.1:0"]
        if not any(argument.startswith("--andon-listen") for argument in arguments):
            command += ["--andon-listen", "127.0.0.1:0"]
        with subprocess.Popen(command + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **(env or {})}, **user) as process:
            try:
                _, said = process.communicate(timeout=timeout)
                return process.returncode, said
            except subprocess.TimeoutExpired:
                process.terminate()
                _, said = process.communicate()
                return None, said


def wait_for(what, function, timeout=30, pause=0.02):
    """The first true result of the function."""
    deadline = time.monotonic() + timeout
    while True:
        result = function()
        if result:
            return result
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout} s for {what}, last: {result!r}")
        time.sleep(pause)


def signal_of(tai, identity, tenant, entitlement=None):
    query = {"tenant_id": tenant, **({"entitlement_id": entitlement} if entitlement else {})}
    return tai.get(f"/v1/signals/{urllib.parse.quote(identity, safe='')}?{urllib.parse.urlencode(query)}")


def ended(tai, identity, tenant, entitlement=None, timeout=30):
    """The signal once it has ended and its receipts can be read."""
    def look():
        status, signal, _ = signal_of(tai, identity, tenant, entitlement)
        return signal if status == 200 and signal["status"] in ENDINGS and signal["receipts"] else None
    return wait_for(f"signal {identity} of {tenant} to end", look, timeout)


def governor(tai, tenant, entitlement):
    return tai.get(f"/v1/governors/{tenant}/{entitlement}")[1]


def run_one(binary, name, function):
    test, began = Test(binary, name), time.monotonic()
    try:
        function(test)
    except Exception as error:  # a test that cannot go on has failed; the others still run
        test.failures.append(str(error))
        traceback.print_exc(limit=-6, file=sys.stdout)
    test.end()
    print(f"{'ok    ' if not test.failures else 'FAILED'} {name}: {test.count} checks, "
          f"{time.monotonic() - began:.1f} s", flush=True)
    if not test.failures:
        shutil.rmtree(test.dir, ignore_errors=True)
    else:
        print(f"       data kept in {test.dir}", flush=True)
    return not test.failures


def main(names):
    binary, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
    tests = {name[5:]: function for name, function in names.items() if name.startswith("test_")}
    results = [run_one(binary, name, function) for name, function in tests.items() if not wanted or name in wanted]
    print(f"{results.count(True)} of {len(results)} tests passed")
    sys.exit(0 if results and all(results) else 1)
