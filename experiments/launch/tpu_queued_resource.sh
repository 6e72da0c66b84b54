#!/bin/bash
# One training on a Cloud TPU slice: tpu_queued_resource.sh NAME v5litepod-16 ZONE PROJECT regda demo --workdir gs://bucket/runs
# KPJAX_FLAGS goes to the run (default --require-accelerator). The flags of gcloud are those of its manual.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=$1 type=$2 zone=$3 project=$4 system=$5; shift 5
case $type in
  v5p-*) runtime=v2-alpha-tpuv5 ;;
  v6e-*) runtime=v2-alpha-tpuv6e ;;
  *) runtime=v2-alpha-tpuv5-lite ;;
esac
version=$(uv run hatchling version)  # with the commit: the repository is not copied
at=(--zone "$zone" --project "$project")

gcloud compute tpus queued-resources create "$name" --node-id "$name" --accelerator-type "$type" \
  --runtime-version "$runtime" --spot "${at[@]}"
# A preempted slice is gone: start this script again; the bucket has the checkpoints.
trap 'gcloud compute tpus queued-resources delete "$name" --force --quiet "${at[@]}"' EXIT
until state=$(gcloud compute tpus queued-resources describe "$name" "${at[@]}" --format 'value(state.state)') \
    && [ "$state" = ACTIVE ]; do
  case $state in FAILED | SUSPENDED) echo "$name: $state" >&2; exit 1 ;; esac
  sleep 30
done
gcloud compute tpus tpu-vm scp --recurse kpjax experiments data docs pyproject.toml hatch_build.py README.md LICENSE NOTICE "$name:" \
  --worker all "${at[@]}"
gcloud compute tpus tpu-vm ssh "$name" --worker all "${at[@]}" --command \
  "python3 -m pip install -q uv && python3 -m uv venv --python 3.12 env \
  && SETUPTOOLS_SCM_PRETEND_VERSION=$version python3 -m uv pip install --python env -q -e '.[lab,datasets,tpu,gcs]'"
# The hosts find each other. All of them run the same command; the first speaks.
gcloud compute tpus tpu-vm ssh "$name" --worker all "${at[@]}" --command \
  "env/bin/python -m experiments.$system $(printf '%q ' "$@") ${KPJAX_FLAGS---require-accelerator}"
