"""What pages show of the benchmark: `experiments.measure.render` says how to read it."""

METRICS = {"time": ("time", 1, 2), "processor": ("processor time", 1, 2)}
NETWORKS = ("PoseResNet-18, 64 px, batch 8", "MobileNetV2, 128 px, batch 8")
TABLES = {
    "ratios": (
        ("ratios cores=1", "ratios cores=2"),
        (
            *(
                f"beside PyTorch: {kind}, {network}"
                for network in NETWORKS
                for kind in ("training", "prediction")
            ),
            "beside PyTorch: a video, MobileNetV2, 128 px, resized by Pillow",
            "beside PyTorch: a video, MobileNetV2, 128 px, resized by OpenCV",
        ),
        ("time", "processor"),
    )
}
