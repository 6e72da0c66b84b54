"""Random, jit-able, on-device augmentations of examples, and the random maps that move them."""
from kpjax.lazy import by_name, lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, by_name({
    # Composition, geometry, appearance
    "augmentations": (
        "Augment", "Loaded", "alike", "compose_augmentations", "no_augmentation", "on_half", "regda_augmentation",
        "move_example", "random_affine", "random_flip", "random_scale_rotation", "random_warp",
        "colour_jitter", "random_blur", "random_brightness", "random_colour_matrix", "random_contrast", "random_noise"),
    # Boxes that hide parts of images
    "occlusion": ("Hide", "blank_boxes", "hidden", "hide_boxes", "hide_in_turn"),
    # Styles
    "restyling": ("exchanged_moments",),
    # Maps of one image
    "random_maps": ("DrawMap", "PERSPECTIVE", "Reach", "draw_affine", "draw_homography", "draw_rotation",
                    "draw_scale_rotation", "draw_square_crop", "draw_stretch", "scale_rotation_reach",
                    "square_crop_reach"),
}))
