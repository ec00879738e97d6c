#!/usr/bin/env bash
# Prepares fingerspelling data on Dataflow, Flink or Spark; the Beam options choose the engine:
#   --runner=DataflowRunner --project=P --region=R --temp_location=gs://B/tmp --max_num_workers=20
#   --runner=FlinkRunner --flink_master=http://HOST:8081 --environment_type=DOCKER
#   --runner=SparkRunner --spark_master_url=spark://HOST:7077 --environment_type=DOCKER
set -euo pipefail
cd "$(dirname "$0")/.."
dry=false; if [[ ${1:-} == --dry-run ]]; then dry=true; shift; fi
usage="usage: launch/beam.sh [--dry-run] SOURCE OUT --runner=RUNNER [Beam options]   (no spaces within an option)"
if [[ $# -lt 3 ]]; then echo "$usage" >&2; exit 2; fi
source=$1 out=$2; shift 2
# Workers elsewhere install this package, and the very versions that the launching machine has; unless their image did.
case " $* " in
  *" --runner=DirectRunner "* | *" --sdk_container_image="*) ;;
  *) set -- "$@" --setup_file="$PWD/pyproject.toml" --requirements_file=constraints.txt --requirements_cache=skip ;;
esac
run() { (PS4=''; set -x; : "$@") 2>&1 | sed 's/^: //'; $dry || "$@"; }
run python -m aslx.prepare fingerspelling --source "$source" --out "$out" --beam="$*"
echo "next, with DATA=$out and one of the other launchers:"
echo "python -m aslx.train --distributed --config CONFIG --workdir WORKDIR"
