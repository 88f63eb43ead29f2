#!/bin/bash
# One command on a fresh machine: set-up, lock check, build of recipes/agentscope, verification and, as root on Linux,
# a throw-away isolated machine in which the bundle is installed and a conversation is held.
set -euo pipefail
cd "$(dirname "$0")/.."

work=${FERRY_QUICKSTART:-$PWD/build/quickstart}
stick=$work/stick
host=$work/host
stages=()
began=$(date +%s%N)
last=$began

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
lap() {
  local now
  now=$(date +%s%N)
  stages+=("$(printf '%7.1f s  %s' "$(((now - last) / 10000000))e-2" "$1")")
  last=$now
}
summary() {
  say "time per stage"
  printf '%s\n' "${stages[@]}"
  printf '%7.1f s  in all\n' "$((($(date +%s%N) - began) / 10000000))e-2"
}

say "set-up"
sh scripts/setup.sh
lap "set-up"
export PATH=$PWD/.venv/bin:$PATH
export FERRY_KEYSTORE=$work/keystore
mkdir -p "$stick"

say "lock check (offline)"
ferry lock --check recipes/agentscope
lap "lock check"

say "build"
ferry build recipes/agentscope --yes -o "$stick/agentscope.tar"
ferry keystore public -o "$stick/release.pem"
lap "build, with boot test, SBOM and signature"

say "verify"
ferry verify "$stick/agentscope.tar" --trust "$stick/release.pem"
lap "verify"

if reason=$(python scripts/machine.py reason); then :; else
  summary
  say "no isolated machine here: $reason"
  cat <<EOF
The bundle is ready: $stick/agentscope.tar
To go on, carry the directory $stick to an isolated Debian host with systemd and run there, as root:
  sh install.sh agentscope.tar --trust release.pem     (the README's tour shows how to check install.sh first)
EOF
  exit 0
fi

machine() { python scripts/machine.py "$@"; }
inside() { machine run --root "$host" -- "$@"; }
trap 'machine down --root "$host" >/dev/null 2>&1 || true' EXIT

say "an isolated machine: Debian 12, no network, no Python"
machine up --suite bookworm --root "$host" --bind-ro "$stick:/mnt/stick"
inside sh -c 'ls /sys/class/net; command -v python3 || echo "no python3"'
lap "isolated machine"

say "install from the stick"
# shellcheck disable=SC2016 # expands on the isolated machine
inside sh -euc '
  cd /root
  tar --occurrence=1 -xf /mnt/stick/agentscope.tar ferry.json ferry.json.sig install.sh
  grep -q "$(sha256sum install.sh | cut -c 1-64)" ferry.json
  sh install.sh /mnt/stick/agentscope.tar --trust /mnt/stick/release.pem --yes
'
lap "install"

say "status"
inside ferry host status
lap "status"

say "a conversation"
cat >"$work/question.json" <<'EOF'
{"session_id": "tour", "user_id": "you", "input": [{"role": "user", "content": [{"type": "text", "text": "Did you cross the gap?"}]}]}
EOF
machine http --root "$host" --port 8090 --method POST --path /process --body-file "$work/question.json" \
  --header content-type:application/json >"$work/answer.txt"
python - "$work/answer.txt" <<'EOF'
import json, sys
events = [json.loads(line[5:]) for line in open(sys.argv[1], encoding="utf-8") if line.startswith("data:")]
last = [event for event in events if event.get("object") == "response"][-1]
texts = [part["text"] for message in last["output"] for part in message.get("content") or () if part.get("text")]
print("you:   Did you cross the gap?")
print("agent:", texts[-1])
sys.exit(last["status"] != "completed")
EOF
lap "conversation"
summary
