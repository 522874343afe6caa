"""An operator under chaos: commands to governors, dead letters requeued, edited and discarded, everything given again now and
then under the same command_id; and what the service says of it all in the end."""
import hashlib
import http.client
import json
import random
import threading
import time
import urllib.parse

WORDS = ("resume", "resume", "activate", "reset-quota", "halt")
UNKNOWN = "nobody"                              # an entitlement without a governor


class Operator(threading.Thread):
    """One command after the other until told to stop. Whom it halts it resumes with the next command."""

    def __init__(self, number, service, history, seed, pause=0.02):
        super().__init__(daemon=True)
        self.name_given = f"operator-{number}"
        self.service, self.history, self.pause = service, history, pause
        self.random = random.Random(seed * 1000 + 500 + number)
        self.stopping = threading.Event()
        self.given, self.past, self.halted = 0, [], None

    def run(self):
        while not self.stopping.is_set():
            try:
                self.step()
            except (OSError, http.client.HTTPException, ValueError):
                pass        # nothing was given: a list could not be read
            self.stopping.wait(self.pause)

    def step(self):
        kind = self.random.random()
        if kind < 0.15 and self.past:
            self.send(*self.random.choice(self.past))
        elif kind < 0.5 or self.halted:
            self.govern()
        else:
            self.resolve()

    def govern(self):
        word, governor = self.random.choice(WORDS), self.halted or self.some_governor()
        if self.halted:
            word, self.halted = "resume", None
        if not governor:
            return
        if self.random.random() < 0.03 and word != "activate":
            governor = (governor[0], UNKNOWN)
        elif word == "halt":
            self.halted = governor
        self.give(f"/v1/governors/{governor[0]}/{governor[1]}/{word}", word, governor, {})

    def some_governor(self):
        sent = self.history.some_identity(self.random)
        return sent and sent[:2]

    def resolve(self):
        _, page, _ = self.service.get("/v1/deadletters?limit=50", timeout=5)
        letters = page["deadletters"]
        if not letters:
            return
        letter = self.random.choice(letters)
        owner, body = (letter["tenant_id"], letter["entitlement_id"]), {}
        word = "requeue" if letter["requeuable"] and self.random.random() < 0.7 else "discard"
        edited = None
        if word == "discard":
            body = {"reason": "chaos"}
        elif self.random.random() < 0.4:
            signal = {"id": letter["signal_id"], "tenant_id": owner[0], "entitlement_id": owner[1], "type": "usage",
                      "data": {"cost": "0.02", "edit": self.given}}
            body, edited = {"signal": signal}, hashlib.sha256(json.dumps(signal).encode()).hexdigest()
        self.give(f"/v1/deadletters/{letter['id']}/{word}", word, owner, body, letter["id"], edited)

    def give(self, path, command, owner, body, deadletter=None, edited=None):
        self.given += 1
        command_id = f"{self.name_given}.{self.given}"
        self.history.order(command_id, {"command": command, "operator": self.name_given, "tenant": owner[0],
                                        "entitlement": owner[1], "deadletter": deadletter, "edited": edited})
        attempt = (command_id, path, json.dumps({"command_id": command_id, **body}))
        self.past = (self.past + [attempt])[-50:]
        self.send(*attempt)

    def send(self, command_id, path, body):
        """`ok` (202), `fail` (refused for good) or `info`."""
        outcome = "info"
        try:
            status, _, _ = Operator.request(self.service, path, body, self.name_given)
            outcome = "ok" if status == 202 else "info" if status >= 500 else "fail"
        except ConnectionRefusedError:
            outcome = "fail"
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.history.answered(command_id, outcome)

    @staticmethod
    def request(service, path, body, name):
        headers = {"Content-Type": "application/json", "X-Operator": name}
        return service.request("POST", path, body, headers, service.andon_port, 20)


def commands_ended(service, history, deadline):
    """command_id -> status, of those the service knows, once none is pending or the time is up."""
    shown, left = {}, set(history.commands)
    while left:
        for command_id in sorted(left):
            status, command, _ = service.get("/v1/commands/" + urllib.parse.quote(command_id, safe=""))
            if status == 200:
                shown[command_id] = command["status"]
            if status != 200 or command["status"] != "pending":
                left.discard(command_id)
        if time.monotonic() > deadline:
            break
        if left:
            time.sleep(0.05)
    return shown


def letters_open(service):
    """The ids of all open dead letters."""
    found, after = set(), ""
    while True:
        _, page, _ = service.get("/v1/deadletters?limit=1000" + after)
        found |= {letter["id"] for letter in page["deadletters"]}
        if "next" not in page:
            return found
        after = "&after=" + page["next"]
