"""What devices compute at most, as their manufacturers' data sheets say; nothing here imports
JAX."""

# Dense bfloat16 operations per second of one device, in 1e12, by how the kind that JAX reports
# begins.
PEAK_TERAFLOPS = {
    # https://www.nvidia.com/en-us/data-center/a100, h100, h200, hgx, l4 and l40s; the data sheet of
    # the A10G
    "NVIDIA A100": 312.0,
    "NVIDIA H100": 989.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA H200": 989.0,
    "NVIDIA B200": 2250.0,
    "NVIDIA L4": 121.0,
    "NVIDIA L40S": 362.0,
    "NVIDIA A10G": 70.0,
    # white paper of the Ada architecture, which compares with the one before
    "NVIDIA GeForce RTX 3090": 71.0,
    "NVIDIA GeForce RTX 4090": 165.0,
    # https://cloud.google.com/tpu/docs/v4, v5e, v5p, v6e and tpu7x, of which a device is half a chip
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5": 459.0,
    "TPU v6 lite": 918.0,
    "TPU7x": 1153.5,
}
