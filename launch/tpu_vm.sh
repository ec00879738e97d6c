#!/usr/bin/env bash
# Trains HEAD on all workers of a spot Cloud TPU slice, which it creates (or finds), and deletes when training is done.
# After a preemption it creates the slice again; training goes on from WORKDIR. DATA becomes data/<its name>.
set -euo pipefail
cd "$(dirname "$0")/.."
dry=false; if [[ ${1:-} == --dry-run ]]; then dry=true; shift; fi
usage="usage: [NAME= ZONE= TYPE= RUNTIME=] launch/tpu_vm.sh [--dry-run] gs://DATA CONFIG gs://WORKDIR [options]"
if [[ $# -lt 3 ]]; then echo "$usage" >&2; exit 2; fi
data=${1%/} config=$2 workdir=${3%/} options=${4:+$(printf ' %q' "${@:4}")}
name=${NAME:-aslx} zone=${ZONE:-us-west4-a} type=${TYPE:-v5litepod-16} version=${RUNTIME:-v2-alpha-tpuv5-lite}
. launch/shared.sh
slice() { run gcloud compute tpus queued-resources "$1" "$name" --zone="$zone" "${@:2}"; }
create() { slice create --node-id="$name" --accelerator-type="$type" --runtime-version="$version" --spot; }
delete() { slice delete --force --quiet; }
on_all() { run gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$1"; }
state() { gcloud compute tpus "$1" describe "$name" --zone="$zone" --format="value($2)" 2>&1 || true; }
keep() { echo "Billed until: gcloud compute tpus queued-resources delete $name --zone=$zone --force" >&2; exit "$1"; }
setup="mkdir -p aslx/data/${data##*/} && cd aslx && gcloud storage cat $workdir/source.tar.gz | tar -xz"
setup+=" && gcloud storage rsync --recursive $data data/${data##*/} && python3 -m pip install -q --user uv"
setup+=" && ~/.local/bin/uv venv -q --allow-existing --python 3.11 .venv"
setup+=" && ~/.local/bin/uv pip install -q -c constraints.txt \".[tpu,gcs]\""
# The lock waits for what a lost connection left running; nohup, as a shutdown's SIGHUP would cut off the save.
train="cd aslx && flock --wait 600 .lock nohup .venv/bin/python -m aslx.train --distributed"
train+=" --config $config --workdir $workdir$options"
run bash -o pipefail -c "git archive --format=tar.gz HEAD | gcloud storage cp - $workdir/source.tar.gz"
if $dry; then slice describe; create; on_all "$setup"; on_all "$train"; delete; exit; fi
seen=$(newest)
while now=$(state queued-resources state.state); do
  case $now in
    *NOT_FOUND*) create; continue ;; # Also after delete.
    SUSPENDED) delete; continue ;; # Preempted: nothing is left of it.
    FAILED) again 1 || keep 1; delete; continue ;;
    ACTIVE) rc=1; if on_all "$setup"; then rc=0; on_all "$train" || rc=$?; fi ;;
    *) echo "waiting for $name: $now"; sleep 30; continue ;;
  esac
  if [[ $rc == 0 ]]; then delete; exit; fi
  case $(state tpu-vm state) in PREEMPTED | TERMINATED) delete ;; *) again "$rc" || keep "$rc"; sleep 30 ;; esac
done
