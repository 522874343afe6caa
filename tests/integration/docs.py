"""The documentation is what the program does: every curl example of docs/endpoints.md is run and its answer compared in
shape; docs/cli.md names every verb and option; the messages docs/troubleshooting.md quotes are in the source; links
lead somewhere. Usage: docs.py BINARY"""
import glob
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from checks import main  # noqa: E402


def page(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


# --- examples -----------------------------------------------------------------------------------------------------------

def blocks(text):
    """(info string, lines) of each fenced block."""
    return [(m.group(1).strip(), m.group(2).splitlines()) for m in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.S | re.M)]


def examples(lines):
    """[(command, expected lines)]: "$ " begins a command, a backslash goes on, the rest is what it prints."""
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1][0] += "\n" + line
        elif found:
            found[-1][1].append(line)
    return found


def shape(expected, got, where=""):
    """"" if got looks like expected, or what does not. "…" within a text, {…} and ["…"] stand for anything."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if "…" in expected:
            return ""
        if set(expected) != set(got):
            return f"{where}: members {sorted(set(expected) ^ set(got))}"
        return next(filter(None, (shape(expected[k], got[k], f"{where}.{k}") for k in expected)), "")
    if isinstance(expected, list) and isinstance(got, list):
        if not expected or expected == ["…"]:
            return "" if not expected == [] or got == [] else f"{where}: {got} instead of an empty list"
        if not got:
            return f"{where}: an empty list"
        return next(filter(None, (shape(e, g, f"{where}[]") for e, g in zip(expected + [expected[-1]] * len(got), got))), "")
    if type(expected) is not type(got):
        return f"{where}: {got!r} instead of {expected!r}"
    if isinstance(expected, str) and "…" not in expected and not re.search(r"[0-9]", expected) and expected != got:
        return f"{where}: {got!r} instead of {expected!r}"
    return ""


def compare_text(expected, got):
    for want, line in zip(expected, got):
        if not re.fullmatch(".*".join(re.escape(part) for part in want.split("…")), line):
            return f"{line!r} instead of {want!r}"
    return "" if len(got) >= len([line for line in expected if line]) else f"only {len(got)} lines"


def compare(expected, printed):
    """"" or what differs."""
    got = printed.replace("\r", "").splitlines()
    if expected and expected[0].startswith("HTTP/1.1"):
        if not got or got[0] != expected[0]:
            return f"{got[:1]} instead of {expected[0]}"
        head, body = expected[:expected.index("")], expected[expected.index("") + 1:]
        for header in head[1:]:
            if header not in got:
                return f"no header {header}"
        return compare(body, "\n".join(got[got.index("") + 1:]))
    try:
        wanted = json.loads("\n".join(expected).replace("{…}", '{"…":0}').replace("[…]", '["…"]'))
    except ValueError:
        return compare_text(expected, got)
    try:
        return shape(wanted, json.loads(printed))
    except ValueError:
        return f"no JSON: {printed[:300]}"


class Shell:
    """One bash for the page, so that variables stay."""

    def __init__(self, directory, tai, variables):
        self.ports = {"127.0.0.1:8080": f"127.0.0.1:{tai.port}", "127.0.0.1:8081": f"127.0.0.1:{tai.andon_port}"}
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, cwd=directory, env={**os.environ, **variables})

    def run(self, command):
        for documented, real in self.ports.items():
            command = command.replace(documented, real)
        command = re.sub(r"\bcurl\b", "curl -sS --max-time 20", command)
        self.process.stdin.write(command + "\nprintf '\\n%s\\n' __END__\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            if line == "__END__\n":
                break
            printed += line
        for documented, real in self.ports.items():
            printed = printed.replace(real, documented)
        return printed.rstrip("\n")

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)


def run_examples(t, tai, kind, variables):
    """Runs the page's blocks of a kind; GETs are asked again for a while: what they show comes a moment later."""
    shell, count = Shell(t.dir, tai, variables), 0
    for info, lines in blocks(page("docs/endpoints.md")):
        if info != kind:
            continue
        for command, expected in examples(lines):
            wrong, deadline = "first", time.monotonic() + 20
            again = " -d " not in command and "-X POST" not in command and "=$(" not in command
            while wrong and (wrong == "first" or (again and time.monotonic() < deadline)):
                if wrong != "first":
                    time.sleep(0.2)
                wrong = compare(expected, shell.run(command)) if expected or not shell.run(command) else ""
            t.true(f"{command.splitlines()[0][:100]} answers as documented", not wrong, wrong)
            count += 1
    shell.end()
    return count


def test_endpoints(t):
    for info, lines in blocks(page("docs/endpoints.md")):
        t.true("every curl is in a block that is run", info in ("console", "console keys", "console tokens") or
               not any("curl" in line for line in lines), (info, lines[:1]))
    with t.tai() as tai:
        t.true("there are examples", run_examples(t, tai, "console", {}) > 25)


def test_endpoints_keys(t):
    secret = t.file("key-1.key", "documented-secret-0123456789abcdef\n", 0o600)
    config = f"keys:\n  - id: key-1\n    secret_file: {secret}\n    tenant: acme\n    role: publisher\n"
    with t.tai(config) as tai:
        t.true("there are examples", run_examples(t, tai, "console keys", {"secret": "documented-secret-0123456789abcdef"}) > 2)


def test_endpoints_tokens(t):
    made = subprocess.run([t.binary, "key", "new", "token", "--name", "alice", "--role", "viewer", "--tenant", "*"],
                          capture_output=True, text=True, timeout=60, check=True)
    t.file("alice.token", re.search(r"\btai_[0-9a-f]{64}\b", made.stdout).group(0), 0o600)
    tokens = t.file("tokens.yaml", "tokens:\n" + made.stdout.split("tokens:\n")[1], 0o600)
    with t.tai(f"andon:\n  tokens_file: {tokens}\n") as tai:
        t.true("there are examples", run_examples(t, tai, "console tokens", {}) > 0)


# --- the command line ----------------------------------------------------------------------------------------------------

def help_of(t, *verb):
    return subprocess.run([t.binary, *verb, "--help"], capture_output=True, text=True, timeout=60, check=False).stdout


def test_cli(t):
    text = page("docs/cli.md")
    verbs = [verb.strip() for verb in re.findall(r"^  tai (.{20}) ", help_of(t), re.M)]
    t.true("verbs are found", len(verbs) > 25, verbs)
    documented = [re.match(r"[a-z -]+", verb).group(0).strip() for verb in re.findall(r"^\| `([^`]+)` \|", text.split("## Exit codes")[0], re.M)]
    t.equal("the table of verbs", sorted(documented), sorted(verbs))
    for verb in verbs:
        for option in re.findall(r"^  (?:-., |    )--([a-z-]+)", help_of(t, *verb.split()), re.M):
            t.true(f"--{option} of {verb} is in docs/cli.md", f"--{option}" in text or option == "help")
    spoken = set(re.findall(r"--([a-z][a-z-]+)", re.sub(r"```.*?```", "", text, flags=re.S)))
    known = {option for verb in verbs for option in re.findall(r"--([a-z][a-z-]+)", help_of(t, *verb.split()))}
    t.equal("options that are none", sorted(spoken - known - {"help", "name", "version"}), [])


# --- troubleshooting, links ------------------------------------------------------------------------------------------------

def literals():
    """The product's source, neighbouring string literals joined, escapes of quotes undone."""
    text = []
    for path in glob.glob(os.path.join(ROOT, "*", "**", "*.[ch]"), recursive=True) + [os.path.join(ROOT, "tai")]:
        if os.path.relpath(path, ROOT).split(os.sep)[0] in ("build", "tests", "bench"):
            continue
        with open(path, encoding="utf-8") as file:
            source = re.sub(r'(?<!\\)"\s+"', "", file.read())
        text.append(source.replace('\\"', '"'))
    return "\n".join(text)


def test_troubleshooting(t):
    source = literals()
    quoted = re.findall(r"^\| `([^`]+)` \|", page("docs/troubleshooting.md"), re.M)
    t.true("messages are quoted", len(quoted) > 25, len(quoted))
    for message in quoted:
        for part in message.split("…"):
            t.true(f"the program says {part.strip()!r}", part.strip() in source)


def test_links(t):
    for name in ["README.md", "CONTRIBUTING.md"] + sorted(os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "docs", "*.md"))):
        text = page(name)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(name), file)) if file else name
            if not t.true(f"{name}: {target} is there", os.path.exists(os.path.join(ROOT, path))) or not anchor:
                continue
            titles = [re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
                      for title in re.findall(r"^#+ (.*)$", page(path), re.M)]
            t.true(f"{name}: {target} leads to a title", anchor in titles, anchor)


main(globals())
