"""Random, jit-able, on-device augmentations of examples, and the random maps that move them."""
from kpjax.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, {
    # Composition
    "Augment": "augmentations",
    "compose_augmentations": "augmentations",
    "no_augmentation": "augmentations",
    "on_half": "augmentations",
    "regda_augmentation": "augmentations",
    # Geometry
    "move_example": "augmentations",
    "random_affine": "augmentations",
    "random_flip": "augmentations",
    "random_homography": "augmentations",
    "random_rotation": "augmentations",
    "random_scale_rotation": "augmentations",
    "random_square_crop": "augmentations",
    "random_warp": "augmentations",
    # Appearance
    "colour_jitter": "augmentations",
    "random_blur": "augmentations",
    "random_brightness": "augmentations",
    "random_colour_matrix": "augmentations",
    "random_contrast": "augmentations",
    "random_noise": "augmentations",
    # Maps of one image
    "DrawMap": "random_maps",
    "PERSPECTIVE": "random_maps",
    "draw_affine": "random_maps",
    "draw_homography": "random_maps",
    "draw_rotation": "random_maps",
    "draw_scale_rotation": "random_maps",
    "draw_square_crop": "random_maps",
})
