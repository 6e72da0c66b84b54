# docker build -f experiments/launch/cuda.Dockerfile -t kpjax . && docker run --gpus all -v /shared:/shared kpjax experiments.regda demo --workdir /shared/runs
# Not built: no Docker was at hand. CUDA's libraries come with the Python packages; the host needs the driver alone.
FROM python:3.11-slim
WORKDIR /kpjax
COPY pyproject.toml README.md LICENSE ./
COPY kpjax kpjax
COPY experiments experiments
COPY data data
RUN pip install --no-cache-dir -e '.[cuda,gcs]'
ENTRYPOINT ["python", "-m"]
