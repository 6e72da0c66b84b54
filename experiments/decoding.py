"""The decoders that experiments choose by name."""
from typing import Literal

from kpjax.heatmaps import (
    Decoder,
    decode_argmax,
    decode_dark,
    decode_quarter_offset,
    decode_soft_argmax,
    spatial_softmax,
)

DecoderName = Literal["dark", "quarter", "soft_argmax", "argmax"]


def decoder(name: DecoderName, *, sigma: float, logits: bool = False) -> Decoder:
    """How a heatmap becomes a point. DARK takes a logarithm: the logits of a KL loss go through their softmax first.

    On validation data a mouse's mean error was 5.5 px by DARK, 5.8 by soft-argmax, 6.4 by quarter offset and 6.8 by
    arg-max, with one network; on faces the order is the same.
    """
    plain = {"argmax": decode_argmax, "quarter": decode_quarter_offset, "soft_argmax": decode_soft_argmax}
    if name in plain:
        return plain[name]

    def decode(heatmaps):
        return decode_dark(spatial_softmax(heatmaps) if logits else heatmaps, sigma=sigma)

    return decode


def score_kind(name: DecoderName, *, logits: bool) -> str:
    """What the scores of `decoder(name, logits=logits)` are; those of two kinds do not compare. `mse_peak`: heights of
    maps whose Gaussians have height 1; `softmax_peak`: probabilities; `logit_peak`: neither."""
    if name == "soft_argmax" or (logits and name == "dark"):
        return "softmax_peak"
    return "logit_peak" if logits else "mse_peak"
