"""Tensors of a Vision Transformer from files of another grid, of another patch size or with
DINOv2's names.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import InputError
from kpjax.models.vision_transformer import resize_positions

# Tensors that the trunk of a keypoint network lacks: classifiers and their norms, poolings, the
# token of masked patches.
UNUSED = re.compile(r"mask_token|(head|head_dist|fc_norm|attn_pool|pre_logits)\..*")
# By a tensor that only networks with the option have.
OPTIONS = {"reg_token": "registers", "blocks.0.ls1.gamma": "layer_scale"}


def fit_tensors(
    given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], source: str
) -> dict[str, Any]:
    """Returns the tensors of a file as a network of the same architecture, but another image or
    patch size, has them.

    Names are timm's: DINOv2's `register_tokens` become `reg_token`. Where the network has no
    position embedding for the class token, that of the file is added to the token. Where only the
    file has none, it is zero. Neither changes an output. The other position embeddings are resized
    to the network's grid, and the patch embedding to its patch size. Without position embeddings,
    as in a file of a head, only names change.

    Args:
        given: tensors by name.
        shapes: of the network's tensors in PyTorch, by name.
        source: of the tensors, for messages.

    Raises:
        InputError: for tensors of a ViT of another width or of other options, or of a grid that is
            no square.
    """
    part = "backbone." if "backbone.pos_embed" in shapes else ""
    fitted = dict(given)
    if f"{part}register_tokens" in fitted:
        fitted[f"{part}reg_token"] = fitted.pop(f"{part}register_tokens")
    place, token, patches = (
        f"{part}{name}" for name in ("pos_embed", "cls_token", "patch_embed.proj.weight")
    )
    if place not in fitted:
        return fitted
    _refuse_another_vit(fitted, shapes, part, source)
    embeddings = np.asarray(fitted[place], np.float32)
    before, _ = _grid(embeddings.shape[1])
    wanted, side = _grid(shapes[place][1])
    if before > wanted:
        if token in fitted and tuple(fitted[token].shape) == shapes.get(token):
            fitted[token] = np.asarray(fitted[token], np.float32) + embeddings[:, :1]
        embeddings = embeddings[:, 1:]
    elif before < wanted:
        embeddings = np.pad(embeddings, ((0, 0), (1, 0), (0, 0)))
    fitted[place] = np.asarray(resize_positions(embeddings, (side, side), before=wanted))
    kernel = fitted.get(patches)
    if (
        kernel is not None
        and len(kernel.shape) == 4
        and tuple(kernel.shape[:2]) == shapes[patches][:2]
    ):
        fitted[patches] = resize_patches(np.asarray(kernel, np.float32), shapes[patches][2:])
    return fitted


def resize_patches(kernel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a patch embedding (out, in, h, w) so that patches resized alike are embedded alike:
    (out, in, *size).

    It is the pseudo-inverse of resizing the patches (FlexiViT, Beyer et al. 2023), as timm's
    `resample_patch_embed`: exact for patches that grow. One of the same size is returned as it is.
    """
    if kernel.shape[2:] == tuple(size):
        return kernel
    # Patches are resized along one axis after the other, and so the pseudo-inverse has one factor
    # for each.
    rows, columns = (
        np.linalg.pinv(
            np.asarray(jax.image.resize(jnp.eye(before), (after, before), "bicubic"), np.float64)
        )
        for before, after in zip(kernel.shape[2:], size, strict=True)
    )
    return np.einsum("oihw,hy,wx->oiyx", kernel, rows, columns, optimize=True).astype(np.float32)


def _refuse_another_vit(
    given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], part: str, source: str
) -> None:
    place = f"{part}pos_embed"
    found, width = tuple(given[place].shape), shapes[place][-1]
    if len(found) != 3 or _grid(found[1]) is None:
        raise InputError(
            f"{source}: tensor {place} of shape {found} belongs to no square grid of patches, with or "
            f"without a class token; give weights that were trained on square images"
        )
    if found[-1] != width:
        raise InputError(
            f"{source}: tensor {place} belongs to a ViT of width {found[-1]}, the network has width "
            f"{width}; give weights of that width, or build the network with width {found[-1]}"
        )
    for name, option in OPTIONS.items():
        name = f"{part}{name}"
        if name in shapes and name not in given:
            raise InputError(
                f"{source}: tensor {name} of shape {shapes[name]} is absent; give weights with it, or "
                f"build the network without {option}"
            )
        if name in given and name not in shapes:
            raise InputError(
                f"{source}: the network has no place for tensor {name} of shape "
                f"{tuple(given[name].shape)}; give weights without it, or build the network with {option}"
            )


def _grid(tokens: int) -> tuple[int, int] | None:
    """Returns how many tokens with a position come before the patches, 0 or 1, and the side of
    their square grid.
    """
    for before in (0, 1):
        side = math.isqrt(max(tokens - before, 0))
        if side and side * side == tokens - before:
            return before, side
    return None
