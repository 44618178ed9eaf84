#!/usr/bin/env bash
# Access rights on the cluster, as little as each role needs. Roles:
#
#   worker    reads requests, is a member of its consumer group, writes results, audit events and dead letters in
#             transactions. It cannot read back what it wrote, and it cannot change a topic. Groups GROUP-spool-...
#             hold the cursors of the spool (audit.spool_lanes).
#   client    writes requests and reads results. No group: the SDK assigns partitions itself.
#   dashboard reads the audit trail, alerts and the monitor's state, and writes commands to the monitor. It sees how far
#             requests are behind and cannot read them.
#   monitor   reads the audit trail and commands, sees how far requests have come and cannot read them, writes alerts,
#             its state and its journal in transactions.
#   sealer    reads the audit trail and writes checkpoints, in transactions. It cannot change what it seals.
#   witness   reads the audit trail and checkpoints, and writes cosignatures. Log it in under an account of its own.
#   auditor   reads the audit trail, and the alerts with what is needed to recompute them. It writes to the audit trail
#             as well, because exports and replays are recorded there; it signs what it writes, as workers do.
#   pruner    deletes the front of the audit trail (`audit prune`), which it announces there first. Nobody else may.
#   operator  creates and checks topics, watches lag, reads dead letters and alerts. Cannot read requests or results, and
#             cannot change topics of the audit trail: that is for a super user, whose acts the proofs are for.
#
# What nobody may is denied by name as well, because a denial beats every later grant, a wildcard included: Delete, Alter
# (new partitions) and AlterConfigs on topics that are kept for ever (Delete on the audit topic is the pruner's), and
# Write there for all roles that do not write. `stream-maas topics check` finds grants that contradict this.
#
# usage: acls.sh [--print] [--bootstrap HOST:PORT] [--command-config FILE] [--prefix NAME] [--group NAME]
#                [--worker P] [--client P] [--dashboard P] [--monitor P] [--sealer P] [--witness P] [--auditor P] [--operator P]
#                [--pruner P]
#                P is a principal such as User:alice
#
# --print shows the commands instead of running them. Running it again changes nothing. KAFKA_ACLS names the tool
# (default: kafka-acls.sh on the PATH). The cluster needs an authorizer and allow.everyone.if.no.acl.found=false.
set -euo pipefail

print=false bootstrap=127.0.0.1:9092 command_config="" prefix=maas group=stream-maas
worker=User:stream-maas-worker client=User:stream-maas-client
dashboard=User:stream-maas-dashboard monitor=User:stream-maas-monitor
sealer=User:stream-maas-sealer witness=User:stream-maas-witness
auditor=User:stream-maas-auditor operator=User:stream-maas-operator
pruner=User:stream-maas-pruner

while [ $# -gt 0 ]; do
  case "$1" in
    --print) print=true; shift; continue ;;
    --bootstrap | --command-config | --prefix | --group | --worker | --client | --dashboard | --monitor | --sealer | \
    --witness | --auditor | --operator | --pruner)
      [ $# -ge 2 ] || { echo "acls.sh: $1 needs a value" >&2; exit 2; }
      name=${1#--}; printf -v "${name//-/_}" %s "$2"; shift 2 ;;
    -h | --help) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "acls.sh: unknown option $1; --help explains" >&2; exit 2 ;;
  esac
done

connection=(--bootstrap-server "$bootstrap")
[ -z "$command_config" ] || connection+=(--command-config "$command_config")

# allow PRINCIPAL OPERATIONS(comma separated) RESOURCE...
allow() {
  local principal=$1 operations=() operation
  for operation in ${2//,/ }; do operations+=(--operation "$operation"); done
  shift 2
  local command=("${KAFKA_ACLS:-kafka-acls.sh}" "${connection[@]}" --add "${adding:---allow-principal}" "$principal" "${operations[@]}" "$@")
  if $print; then printf '%q ' "${command[@]}"; echo; else "${command[@]}"; fi
}

# deny_all_but "PRINCIPAL..." OPERATIONS(comma separated) RESOURCE...: a principal that has several roles keeps what one of
# them needs.
deny_all_but() {
  local may=" $1 " principal
  shift
  for principal in $(printf '%s\n' "$worker" "$client" "$dashboard" "$monitor" "$sealer" "$witness" "$auditor" "$pruner" "$operator" | sort -u); do
    [[ $may == *" $principal "* ]] || adding=--deny-principal allow "$principal" "$@"
  done
}

# Describe comes with Read and with Write. IdempotentWrite comes with Write on any topic since Kafka 3.0 (KIP-679).
# Lanes are requests.LANE; the dot in the prefix keeps topics such as `requests-old` out.

# --- worker
allow "$worker" Read,DescribeConfigs --topic "$prefix.requests"
allow "$worker" Read,DescribeConfigs --topic "$prefix.requests." --resource-pattern-type prefixed
allow "$worker" Write,DescribeConfigs --topic "$prefix.results" --topic "$prefix.audit" --topic "$prefix.audit.boxes" --topic "$prefix.dead-letters"
allow "$worker" Read --group "$group"
allow "$worker" Read --group "$group-spool-" --resource-pattern-type prefixed
allow "$worker" Write --transactional-id "$group-" --resource-pattern-type prefixed

# --- client
allow "$client" Write --topic "$prefix.requests"
allow "$client" Write --topic "$prefix.requests." --resource-pattern-type prefixed
allow "$client" Read --topic "$prefix.results"

# --- dashboard
allow "$dashboard" Read --topic "$prefix.audit" --topic "$prefix.audit.checkpoints"
allow "$dashboard" Read --topic "$prefix.audit.cosignatures" --topic "$prefix.alerts"
allow "$dashboard" Read --topic "$prefix.alert-commands" --topic "$prefix.monitor.state"
allow "$dashboard" Write --topic "$prefix.alert-commands"
allow "$dashboard" Describe --topic "$prefix.requests"
allow "$dashboard" Describe --topic "$prefix.requests." --resource-pattern-type prefixed
allow "$dashboard" Describe --group "$group"

# --- monitor
allow "$monitor" Read,DescribeConfigs --topic "$prefix.audit" --topic "$prefix.alert-commands"
for topic in alerts monitor.state monitor.journal; do
  allow "$monitor" Read,Write,DescribeConfigs --topic "$prefix.$topic"
done
allow "$monitor" Describe --topic "$prefix.requests"
allow "$monitor" Describe --topic "$prefix.requests." --resource-pattern-type prefixed
allow "$monitor" Read --group "$prefix-monitor"
allow "$monitor" Write --transactional-id "$prefix-monitor-" --resource-pattern-type prefixed

# --- sealer
allow "$sealer" Read,DescribeConfigs --topic "$prefix.audit"
allow "$sealer" Read,Write,DescribeConfigs --topic "$prefix.audit.checkpoints"
allow "$sealer" Read --group "$prefix-sealer"
allow "$sealer" Write --transactional-id "$prefix-sealer-" --resource-pattern-type prefixed

# --- witness
allow "$witness" Read --topic "$prefix.audit" --topic "$prefix.audit.checkpoints"
allow "$witness" Write --topic "$prefix.audit.cosignatures"

# --- auditor
allow "$auditor" Read,Write --topic "$prefix.audit"
allow "$auditor" Read --topic "$prefix.audit.boxes"
allow "$auditor" Read --topic "$prefix.audit.checkpoints" --topic "$prefix.audit.cosignatures"
allow "$auditor" Read --topic "$prefix.alerts" --topic "$prefix.monitor.state" --topic "$prefix.monitor.journal"

# --- pruner
allow "$pruner" Read,Write,Delete --topic "$prefix.audit"
allow "$pruner" Read --topic "$prefix.audit.checkpoints" --topic "$prefix.audit.cosignatures"

# --- operator
for topic in requests results audit.boxes dead-letters alerts alert-commands monitor.state; do
  allow "$operator" Create,Describe,DescribeConfigs,AlterConfigs --topic "$prefix.$topic"
done
for topic in audit audit.checkpoints audit.cosignatures monitor.journal; do
  allow "$operator" Create,Describe,DescribeConfigs --topic "$prefix.$topic"
done
allow "$operator" Create,Describe,DescribeConfigs,AlterConfigs --topic "$prefix.requests." --resource-pattern-type prefixed
allow "$operator" Read --topic "$prefix.dead-letters" --topic "$prefix.alerts"
allow "$operator" Describe --group "$group"
allow "$operator" Describe --cluster

# --- what nobody may
append_only=(--topic "$prefix.audit" --topic "$prefix.audit.checkpoints" --topic "$prefix.audit.cosignatures" --topic "$prefix.monitor.journal")
deny_all_but "$pruner" Delete "${append_only[@]}"
deny_all_but "" Alter,AlterConfigs "${append_only[@]}"
deny_all_but "$worker $auditor $pruner" Write --topic "$prefix.audit"
deny_all_but "$sealer" Write --topic "$prefix.audit.checkpoints"
deny_all_but "$witness" Write --topic "$prefix.audit.cosignatures"
