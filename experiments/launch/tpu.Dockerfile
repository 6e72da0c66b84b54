# docker build -f experiments/launch/tpu.Dockerfile -t kpjax-tpu .
# Not built: no Docker was at hand. For TPU slices, by gke_jobset.yaml.
FROM python:3.11-slim
WORKDIR /kpjax
COPY pyproject.toml README.md LICENSE ./
COPY kpjax kpjax
COPY experiments experiments
COPY data data
RUN pip install --no-cache-dir -e '.[tpu,gcs]'
