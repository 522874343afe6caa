"""Wrong usages as a new user makes them, and that each is answered with its exit code and what to do next: command
lines, configurations, curl. Usage: messages.py BINARY"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from checks import main  # noqa: E402

UUID = "00000000-0000-5000-8000-000000000000"

# (arguments, exit code, what it says); {dir} is the test's directory, {andon} and {ingress} the service's.
LINES = [
    ("", 2, "signal send"), ("statsu", 2, "did you mean `tai status`"), ("governor", 2, "which one?"),
    ("governor lst", 2, "did you mean `tai governor list`"), ("reciept list", 2, "did you mean `tai receipt list`"),
    ("start", 2, "did you mean `tai run`"), ("stop", 2, "Ctrl-C"), ("send", 2, "did you mean `tai signal send`"),
    ("dlq list", 2, "deadletter list"), ("governors", 2, "did you mean `tai governor`"), ("keygen", 2, "key new"),
    ("--verbose status", 2, "behind the verb"), ("help foo", 2, "`tai help` lists all"), ("xyzzy", 2, "`tai help` lists all"),
    ("config shw", 2, "did you mean `tai config show`"), ("run extra", 2, "`tai run --help`"), ("run --port 80", 2, "`tai run --help`"),
    ("run --listen 80", 2, "IP:PORT, such as 127.0.0.1:8080"), ("run --listen localhost:99999", 2, "IP:PORT"),
    ("run --config {dir}/nope.yaml", 2, "No such file"), ("run --data /proc/x", 1, "cannot create the data directory /proc/x"),
    ("run --data {data} --listen 127.0.0.1:0 --andon-listen 127.0.0.1:0", 6, "is in use by another tai run"),
    ("run --data {dir}/other --listen 127.0.0.1:{port} --andon-listen 127.0.0.1:0", 6, "Address already in use"),
    ("config check {dir}/rate.yaml", 2, "is not a whole number"), ("config check {dir}/typo.yaml", 2, "did you mean ingress?"),
    ("config check {dir}/open.yaml", 2, "andon.tokens_file"), ("config check {dir}/broken.yaml", 2, "not YAML"),
    ("config check {dir}/nope.yaml", 2, "No such file"), ("config check {dir}", 2, "Is a directory"),
    ("signal send {dir}/nope.jsonl", 1, "cannot open"), ("signal send {dir}/no_tenant.jsonl", 1, "tenant_id is missing"),
    ("signal send {dir}/no_type.jsonl", 1, "like \"usage.report\""), ("signal send {dir}/text.jsonl", 1, "expected a value"),
    ("signal send {dir}/typo.jsonl", 1, "did you mean \"data\"?"), ("signal send {dir}/text.jsonl --key-file {dir}/nope", 2, "key file"),
    ("signal show", 2, "SIGNAL_ID"), ("signal show abc", 2, "--tenant is missing"), ("signal show abc --tenant", 2, "takes a value"),
    ("signal show abc -t a", 4, "no signal with this id is known"), ("signal show abc -t a*b", 2, "1 to 64 characters"),
    ("governor show a", 2, "TENANT ENTITLEMENT"), ("governor show a nope", 4, "no governor"), ("governor halt a", 2, "TENANT ENTITLEMENT"),
    ("governor halt a b --because=", 2, "1 to 500 bytes"), ("governor halt a b", 1, "rejected"),
    ("governor activate a b --quota-limit many", 2, "a whole number or none"), ("governor activate a b --quota-period week", 2, "none, hour, day, month"),
    ("governor list --state dead", 2, "halted"), ("governor list --state activ", 2, "did you mean active?"), ("governor list extra", 2, "'extra'"),
    ("governor list --limt 3", 2, "did you mean --limit?"), ("governor list --limit x", 2, "a whole number"), ("governor list --json=x", 2, "takes no value"),
    ("receipt show", 2, "RECEIPT_ID"), ("receipt show 123", 2, "a UUID"), (f"receipt show {UUID}", 4, "no receipt"),
    ("receipt list --type refusl", 2, "did you mean refusal?"), ("receipt list --since tomorrow", 2, "15m, 2h, 7d"),
    ("receipt list --tenant a --shard 0", 2, "give one of them"), ("receipt list --shard 3", 1, "from 0 to 0"),
    ("receipt verify {dir}/nope", 2, "--vkey is missing"), ("receipt verify {dir}/nope --vkey x", 2, "name+<8 hex digits>"),
    ("receipt export --tenant nobody", 4, "nobody"), ("receipt export -o /nope/x", 1, "cannot write /nope/x"),
    ("ledger verify", 2, "--vkey is missing"), ("deadletter requeue", 2, "Give ids, filters, or --all"), ("deadletter requeue abc", 2, "a UUID"),
    (f"deadletter requeue {UUID} --all", 2, "not both"), ("deadletter discard --all", 2, "--because is required"),
    ("deadletter discard --all --because x", 2, "--yes"), ("deadletter list --class foo", 2, "pipeline"), (f"deadletter show {UUID}", 4, "no dead letter"),
    ("command show nope", 4, "no command"), ("command list --status done", 2, "pending, applied, rejected"),
    ("partition list --tenant a", 2, "unknown option"), ("backup", 2, "DIR"), ("backup {dir}", 1, "a new directory"), ("backup /nope/x", 1, "cannot create"),
    ("key new", 2, "token|signing|ledger"), ("key new tokn", 2, "token, signing and ledger"), ("key new token", 2, "--name"),
    ("top --interval 0", 2, "from 1 to 3600"), ("completion zsh", 2, "bash"), ("version extra", 2, "'extra'"),
    ("status --server foo:bar", 2, "it must be like http://127.0.0.1:8081"), ("governor list --server {ingress}", 1, "see --server"),
    ("status --server http://127.0.0.1:1 --ingress http://127.0.0.1:1", 3, "Start it with `tai run`"),
    ("governor list --server http://127.0.0.1:1", 3, "Start it with `tai run`"),
]

JSON = {"Content-Type": "application/json"}
# (port, method, path, body, headers, status, what it says)
REQUESTS = [
    ("ingress", "POST", "/v1/signals", "{}", {}, 415, "add -H 'Content-Type: application/json'"),
    ("ingress", "POST", "/v1/signals", "", JSON, 400, "not JSON"), ("ingress", "POST", "/v1/signals", "x=1", JSON, 400, "byte 0"),
    ("ingress", "POST", "/v1/signals", "3", JSON, 400, "an array of signals"),
    ("ingress", "POST", "/v1/signals", '{"tenant_id":"a","sku_id":"b","type":"T"}', JSON, 400, "a-z 0-9"),
    ("ingress", "GET", "/v1/signals", None, {}, 405, "POST"), ("ingress", "POST", "/v1/signal", "{}", JSON, 404, "nothing at this path"),
    ("andon", "GET", "/v1/signals/x", None, {}, 400, "\"tenant_id\" is required"), ("andon", "GET", "/v1/governors?stat=x", None, {}, 400, "known here: tenant_id, state"),
    ("andon", "GET", "/v1/governors?limit=0", None, {}, 400, "from 1 to 1000"), ("andon", "GET", "/v1/receipts?after=abc", None, {}, 400, "\"next\" of an earlier answer"),
    ("andon", "GET", "/v1/receipts?order=newest", None, {}, 400, "asc, desc"), ("andon", "GET", "/v1/receipts/7", None, {}, 400, "36 characters"),
    ("andon", "POST", "/v1/governors/a/b/halt", '{"reson":"x"}', JSON, 400, "did you mean \"reason\""), ("andon", "DELETE", "/v1/governors", None, {}, 405, "GET"),
    ("andon", "POST", f"/v1/deadletters/{UUID}/discard", "{}", JSON, 400, "\"reason\" is required"),
    ("andon", "POST", "/v1/deadletters/bulk", '{"action":"mend","filter":{}}', JSON, 400, "requeue"),
]


def test_messages(t):
    for name, text in {"rate.yaml": "ingress:\n  rate: fast\n", "typo.yaml": "ingres: {}\n", "broken.yaml": "a: [\n",
                       "open.yaml": "andon:\n  listen: 0.0.0.0:8081\n", "no_tenant.jsonl": '{"sku_id":"b","type":"usage"}\n',
                       "no_type.jsonl": '{"tenant_id":"a","sku_id":"b"}\n', "text.jsonl": "hello\n",
                       "typo.jsonl": '{"tenant_id":"a","sku_id":"b","type":"usage","dta":1}\n'}.items():
        t.file(name, text)
    with t.tai() as tai:
        urls = {"ingress": f"http://127.0.0.1:{tai.port}", "andon": f"http://127.0.0.1:{tai.andon_port}"}
        for arguments, code, said in LINES:
            words = [word.format(dir=t.dir, data=tai.data, port=tai.port, **urls) for word in arguments.split()]
            seen = subprocess.run([t.binary, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
                                  cwd=t.dir, env={**os.environ, "TAI_SERVER": urls["andon"], "TAI_INGRESS": urls["ingress"]})
            t.true(f"`tai {arguments}` ends with {code} and says {said!r}", seen.returncode == code and
                   said in seen.stderr + seen.stdout, (seen.returncode, seen.stdout, seen.stderr))
        for where, method, path, body, headers, status, said in REQUESTS:
            got = tai.request(method, path, body, headers, tai.port if where == "ingress" else tai.andon_port, 30)
            t.true(f"{method} {path} {body} is answered {status} and says {said!r}", got[0] == status and said in str(got[1].get("detail")), got)


main(globals())
