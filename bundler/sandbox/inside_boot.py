"""Start services on loopback, wait until each is ready, send each its probe. Standard library only.

Reads {"root", "state", "emulated", "services": [...]}; answers {"services": {name: {"ready_s"}}, "attempts": [...]},
{"failed", "why", "log", "attempts"} or {"unwatchable"}; attempts are null where they cannot be watched.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from inside_watch import Unwatchable, Unwatched, Watch

_PROBE_TIMEOUT_S = 60
_TAIL_BYTES = 3000
# How long what a service left behind may still be watched.
_SETTLE_S = 2


def start(service, root, state):
    """Start one service with an environment of its own, as its unit will."""
    home = os.path.join(state, service["name"])
    os.makedirs(home)
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "STATE_DIRECTORY": home, "TMPDIR": home}
    environment["PYTHONPYCACHEPREFIX"] = os.path.join(state, "pycache")
    words = [os.path.join(root, "usr/bin/python3") if word == "python" else word for word in service["run"]]
    with open(os.path.join(home, "log"), "wb") as log:
        return subprocess.Popen(
            words,
            cwd=os.path.join(root, service["directory"]),
            env={**environment, **service["environment"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def ask(service, path, method="GET", body="", timeout_s=5):
    """Send one request; return status and text."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{service['port']}{path}",
        data=body.encode() or None,
        method=method,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout_s) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except OSError as error:
        return 0, str(error)


def wait_ready(service, process):
    """Return the seconds until it answered 200, or a text that says why not."""
    began = time.monotonic()
    last = "no answer"
    while time.monotonic() - began < service["start_timeout_s"]:
        if process.poll() is not None:
            return f"ended with status {process.returncode}"
        status, text = ask(service, service["ready"])
        if status == 200:
            return round(time.monotonic() - began, 2)
        last = f"{status} {text[:300]}"
        time.sleep(0.1)
    return f"not ready after {service['start_timeout_s']} s: {last}"


def check(service, process):
    """Return what came of one service."""
    ready = wait_ready(service, process)
    if isinstance(ready, str):
        return None, ready
    probe = service.get("probe")
    if probe is None:
        return {"ready_s": ready}, None
    status, text = ask(service, probe["path"], probe["method"], probe["body"], _PROBE_TIMEOUT_S)
    squeezed = text.replace('": "', '":"')
    if status != 200 or probe["expect"] not in squeezed:
        return None, f"the probe expected {probe['expect']!r}, got {status} {text[-600:]}"
    return {"ready_s": ready}, None


def boot(spec, watch, processes):
    """Boot all services in order; return what came of each, or of the first that failed."""
    found = {}
    for service in spec["services"]:
        try:
            process = watch.launch(service["name"], lambda service=service: start(service, spec["root"], spec["state"]))
        except OSError as error:
            result, why = None, f"cannot be started: {error}"
        else:
            processes.append(process)
            result, why = check(service, process)
        if why is not None:
            with open(os.path.join(spec["state"], service["name"], "log"), "rb") as log:
                tail = log.read()[-_TAIL_BYTES:].decode("utf-8", "replace")
            return {"failed": service["name"], "why": why, "log": tail}
        found[service["name"]] = result
    return {"services": found}


def stop(processes):
    """Stop them in reverse order."""
    for process in reversed(processes):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def main():
    """Boot the services, stop them, and say what they tried to reach from first to last."""
    spec = json.load(sys.stdin)
    processes = []
    try:
        # An emulator of another processor knows no filters.
        watch = Unwatched() if spec["emulated"] else Watch()
        answer = boot(spec, watch, processes)
        stop(processes)
        attempts = watch.finish(_SETTLE_S)
        answer["attempts"] = None if attempts is None else [attempt._asdict() for attempt in attempts]
    except Unwatchable as error:
        stop(processes)
        answer = {"unwatchable": str(error)}
    print(json.dumps(answer))


main()
