"""Tables of the benchmark's figures, as `experiments.engine.pages` renders them.

Presets are the groups of rows that `python -m experiments.benchmark` takes. A figure is a median over rounds; minimum
and maximum stand where others have an interval. All are ratios of costs: no plot.
"""
from experiments.engine.pages import Column, Row, Table

BAR, MEASURED = Column("bar", "bar", decimals=2), Column("median [minimum, maximum]", "ratio", decimals=2)


def _row(title: str, group: str, name: str) -> Row:
    return Row(title, name, preset=group)


REGDA = _row("RegDA iteration / supervised iteration, demo", "regda", "demo")
SEPARATE = _row("semi-supervised step / supervised, a pass for each view", "semi_supervised", "separate")
JOINT = _row("the same, both views in one pass", "semi_supervised", "joint")
KAMP = _row("KAMP stage II step / finetune step", "incremental", "kamp")
PYRAMIDS = _row("pyramids' step / the sum of keynet's and transporter's", "pyramids", "step")
ADAPTED = _row("adapted's step / finetuned's", "adaptation", "adapted")
LAPTOP = _row("the same, PoseResNet-18, 64 px, batch 8", "regda", "laptop")
TEACHERS = tuple(_row(f"{name} / supervised step on as many images", "teachers", name) for name in (
    "easy_hard", "teacher_adaptation"))
VIDEO = _row("predicting on video / its slower part, ResNet-18, 256 px", "prediction", "resnet_18")
SMALL_VIDEO = _row("the same, small U-net, 128 px", "prediction", "small_unet")

HEADLINE = Table("", (REGDA, SEPARATE, JOINT, KAMP, PYRAMIDS, ADAPTED), (
    BAR._replace(heading="bar, at most"), MEASURED), "step / reference")
AT_MOST = Table("", (
    REGDA, LAPTOP, SEPARATE, JOINT, _row("semi-supervised step, 64 keypoints / 16", "semi_supervised", "points"),
    *TEACHERS, *(_row(f"{title} step / finetune step", "incremental", name) for title, name in (
        ("EWC", "ewc"), ("MAS", "mas"), ("RW", "rw"), ("LWF", "lwf"), ("KSD only", "ksd_only"))),
    KAMP, _row("the same, re-rendered", "incremental", "kamp_rerendered"), PYRAMIDS,
    _row("operations of pyramids' predict, decoders twice as wide", "pyramids", "operations"),
    _row("frames of a batch decoded from a file / pyramids' step", "pyramids", "file"), ADAPTED),
    HEADLINE.columns, "cost / reference")
SHARES = Table("", (
    _row("temporaries of the semantic product / the plain one's", "semi_supervised", "memory"),
    _row("a batch of pairs from memory / pyramids' step", "pyramids", "memory"),
    _row("bytes of gradients and optimizer, adapted / finetuned, demo", "adaptation", "bytes_demo"),
    _row("the same, the paper's setting with its generator", "adaptation", "bytes_paper")), (
        HEADLINE.columns[0], Column("measured", "ratio", decimals=3)), "cost / reference")
AT_LEAST = Table("", (
    VIDEO, SMALL_VIDEO, _row("JPEG of 640x480 px at 256 px, decoded reduced / as arrays", "input", "whole"),
    _row("the same, crops of people of 460 px", "input", "crops_460")), (
        BAR._replace(heading="bar, at least"), MEASURED), "rate / reference")
INPUT = Table("input", (Row("demo's synthetic people", "demo"), Row("small sprites", "sprites")), (
    BAR._replace(heading="bar, at least", decimals=0), MEASURED._replace(decimals=0)), "input rate / step rate")
READING = Table("input", (Row("decoded in full", "full"), Row("decoded at reduced size", "reduced")), (
    Column("images a second", "images_per_second", decimals=0),), "JPEG of 640x480 px, one core")
PREPARED = Table("input", (Row("at full size", "large"), Row("prepared at side 256", "side_256")), (
    Column("images a second", "images_per_second", decimals=0),), "JPEG of 1280x960 px, one core")
GROWTH = Table("growth", (
    Row("batch 64 / 32", "batch_2"), Row("batch 128 / 32", "batch_4"), Row("20 / 10 keypoints", "keypoints_2"),
    Row("40 / 10 keypoints", "keypoints_4"), Row("128 / 64 px", "side_2"), Row("256 / 64 px", "side_4")), (
        Column("measured", "ratio"),), "RegDA step")
MILLISECONDS = Table("", (REGDA, LAPTOP, SEPARATE, *TEACHERS, PYRAMIDS, ADAPTED), (
    Column("step, ms", "over_ms", decimals=0), Column("reference, ms", "under_ms", decimals=0)), "step / reference")
PYTORCH = Table("pytorch", (
    Row("demo network, batch 32", "demo"), Row("PoseResNet-18, 64 px, batch 8", "laptop"),
    Row("MobileNetV2, 128 px, batch 16", "mobilenet_v2")), (
        Column("training", "training", decimals=2), Column("prediction", "prediction", decimals=2)),
    "PyTorch's time / ours")
LAYERS = Table("layers", (
    Row("demo: first convolution, 3 to 16 channels, stride 2, forward", "demo_first"),
    Row("demo: 3x3, 32 to 32 channels, 16x16 px, all three", "demo_3x3"),
    Row("PoseResNet-18: transposed 4x4, 256 to 256 channels, 8x8 px, all three", "resnet_transposed"),
    Row("MobileNetV2: depthwise 3x3, 144 channels, 32x32 px, kernel's gradient", "mobilenet_depthwise_144"),
    Row("MobileNetV2: depthwise 3x3, 960 channels, 4x4 px, kernel's gradient", "mobilenet_depthwise_960")), (
        Column("PyTorch, ms", "pytorch_ms"), Column("ours, ms", "ours_ms")), "layer")
CONVOLUTIONS = Table("layers", (Row("demo network", "demo"), Row("MobileNetV2, 128 px", "mobilenet_v2")), (
    MEASURED._replace(heading="PyTorch's processor time / ours"),), "all convolutions")
