# docker build --build-arg VERSION="$(uv run hatchling version)" -f experiments/launch/tpu.Dockerfile -t kpjax-tpu .
# For TPU slices, by gke_jobset.yaml.
FROM python:3.12-slim
WORKDIR /kpjax
COPY pyproject.toml hatch_build.py README.md LICENSE NOTICE ./
COPY docs/repository.txt docs/
COPY kpjax kpjax
COPY experiments experiments
COPY data data
# The repository is not copied: its version, with the commit, comes by the argument.
ARG VERSION=0.1.0.dev0
RUN SETUPTOOLS_SCM_PRETEND_VERSION=$VERSION pip install --no-cache-dir -e '.[lab,datasets,tpu,gcs]'
