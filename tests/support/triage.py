"""What the end-to-end scripts of triage share: POSTs to andon's API, waiting for the end of commands."""
import json

from checks import wait_for


def post(tai, path, body=None, **headers):
    """(status, answer, headers); headers by keyword, X_Operator for X-Operator."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        given.setdefault("Content-Type", "application/json")
        body = body if isinstance(body, str) else json.dumps(body)
    return tai.request("POST", path, body if body is not None else "", given, tai.andon_port, 30)


def command_of(tai, command_id):
    return tai.get(f"/v1/commands/{command_id}")[1]


def end_of(tai, command_id, timeout=30):
    """The command once it is applied or rejected."""
    return wait_for(f"command {command_id} to end",
                    lambda: (c := command_of(tai, command_id))["status"] != "pending" and c, timeout)


def give(tai, path, body=None, **headers):
    """POSTs a command and waits for its end."""
    status, answer, _ = post(tai, path, body, **headers)
    if status != 202:
        raise RuntimeError(f"{path} answered {status}: {answer}")
    return end_of(tai, answer["command_id"])


def govern(tai, word, body=None, tenant="acme", entitlement="e", **headers):
    return give(tai, f"/v1/governors/{tenant}/{entitlement}/{word}", body, **headers)


def deadletters(tai, query=""):
    """All open ones, page by page."""
    found, after = [], ""
    while True:
        status, page, _ = tai.get(f"/v1/deadletters?limit=7{query}{after}")
        if status != 200:
            raise RuntimeError(f"GET /v1/deadletters answered {status}: {page}")
        found += page["deadletters"]
        if "next" not in page:
            return found
        after = "&after=" + page["next"]


def deadletter_of(tai, signal_id):
    return wait_for(f"a dead letter of {signal_id}",
                    lambda: next((d for d in deadletters(tai) if d["signal_id"] == signal_id), None))
