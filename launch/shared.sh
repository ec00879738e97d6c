# shellcheck shell=bash disable=SC2154
# What tpu_vm.sh and slurm.sbatch have in common; they source it, with `dry` and `workdir` set.
faults=0 seen=0 # Faults since there is the checkpoint of step `seen`, and no newer one.

run() { (PS4=''; set -x; : "$@") 2>&1 | sed 's/^: //'; $dry || "$@"; }

newest() { # The step of the newest checkpoint in WORKDIR; 0: there is none.
  local list=ls; case $workdir in *://*) list="gcloud storage ls" ;; esac
  { $list "$workdir/checkpoints/" 2>/dev/null || true; } |
    { echo 0; sed -nE 's,^(.*/)?([0-9]+)/*$,\2,p'; } | sort -n | tail -n 1
}

again() { # Whether to start again after exit status $1; says why, or why not.
  local now; now=$(newest)
  case $1 in
    143) echo "status 143: preempted, and saved; going on from $workdir" >&2; return ;;
    2) echo "status 2: bad input, which no restart mends. Nothing is deleted." >&2; return 1 ;;
    130) echo "status 130: interrupted. Nothing is deleted; the same command goes on from $workdir." >&2; return 1 ;;
  esac
  if ((now > seen)); then seen=$now faults=0; fi
  faults=$((faults + 1))
  if ((faults > 3)); then
    echo "status $1: failed $faults times without a checkpoint newer than step $seen. Nothing is deleted." >&2; return 1
  fi
  echo "status $1: going on from $workdir, try $faults of 3 without a checkpoint newer than step $seen" >&2
}
