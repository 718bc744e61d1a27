#!/usr/bin/env bash
# Opens a policy from a record, approves it, and cancels it: all by Temporal's own command line.
set -euo pipefail

[ $# = 2 ] || { echo 'usage: policy_life.sh RECORD.json POLICY_CODE' >&2; exit 2; }
record=$(jq -c . "$1")
policy_code=$2
number=$(jq -r .policy.out_insurance_no <<<"$record")
id="policy/$(jq -r .mchid <<<"$record")/$number"
digest=$(openssl dgst -sha256 -r <<<"$record" | cut -d' ' -f1)

# temporal KIND …: prints JSON; a failure in one line. A workflow that is just being written to may be busy: it is asked again.
temporal() {
  for _ in $(seq 10); do
    if command temporal workflow "$@" --workflow-id "$id" --output json --color never 2>"$said"; then return; fi
    grep -q 'Workflow is busy' "$said" || break
    sleep 1
  done
  echo "error: $(sed -E 's/^(Error: |time=.* level=ERROR msg=)//' "$said" | tr '\n' ' ')" >&2
  exit 1
}
said=$(mktemp)
trap 'rm -f "$said"' EXIT

status() { temporal query --type status | jq -c '.queryResult[0]'; }

# wait_until JQ_CONDITION: asks for the status until it is as wanted, or waits for a person.
wait_until() {
  local now
  for _ in $(seq 120); do
    now=$(status)
    if jq -e "$1" <<<"$now" >/dev/null; then
      jq -r '"\(.out_insurance_no) is \(.state), \(.sync)"' <<<"$now"
      return
    fi
    if jq -e '.sync | IN("BLOCKED", "DIVERGED", "STOPPED")' <<<"$now" >/dev/null; then
      jq -r '"error: \(.out_insurance_no) is \(.sync): \(.block.code // "") \(.block.message // "")"' <<<"$now" >&2
      exit 1
    fi
    sleep 0.5
  done
  echo "error: $number is not with WeChat Pay yet; it goes on: see its status" >&2
  exit 1
}

# answered WHAT ANSWER: prints the answer to an update, and waits until WeChat Pay holds its revision.
answered() {
  jq -r --arg what "$1" --arg number "$number" '"\($number) \($what): \(.outcome), revision \(.revision)"' <<<"$2"
  wait_until ".synced_revision >= $(jq .revision <<<"$2")"
}

# Starts the policy's workflow and waits until its number is claimed. The same record again answers the same.
opened=$(temporal execute-update-with-start --type policyLifecycle --task-queue policy-sync \
  --id-conflict-policy UseExisting --id-reuse-policy RejectDuplicate \
  --input "$record" --input "{\"digest\":\"$digest\"}" \
  --update-name open --update-id "$digest" --update-input "{\"digest\":\"$digest\"}")
answered opened "$(jq .updateResult <<<"$opened")"

# The insurer has taken the risk. An event_id makes the message safe to send twice.
approval=$(jq -nc --arg code "$policy_code" --arg event "approve-$number" '{policy_code: $code, event_id: $event}')
approved=$(temporal update execute --name approve --input "$approval")
answered approved "$(jq .result <<<"$approved")"

# The user surrenders. A signal needs no worker to be taken, and has no answer.
surrender=$(jq -nc --arg event "surrender-$number" \
  '{cause: "SURRENDER", reason: "asked for by the user", event_id: $event}')
temporal signal --name cancel --input "$surrender" >/dev/null
echo "$number cancelled: signal sent"
wait_until '.state == "INACTIVE" and .sync == "SYNCED"'
