from .augmentations import (
    Augment as Augment,
    Loaded as Loaded,
    colour_jitter as colour_jitter,
    compose_augmentations as compose_augmentations,
    move_example as move_example,
    no_augmentation as no_augmentation,
    on_half as on_half,
    random_affine as random_affine,
    random_blur as random_blur,
    random_colour_matrix as random_colour_matrix,
    random_flip as random_flip,
    random_noise as random_noise,
    random_scale_rotation as random_scale_rotation,
    random_warp as random_warp,
    random_window as random_window,
    regda_augmentation as regda_augmentation,
)
from .occlusion import (
    Hide as Hide,
    blank_boxes as blank_boxes,
    hide_boxes as hide_boxes,
    hide_by_labels as hide_by_labels,
)
from .random_maps import (
    PERSPECTIVE as PERSPECTIVE,
    DrawMap as DrawMap,
    Reach as Reach,
    draw_affine as draw_affine,
    draw_homography as draw_homography,
    draw_rotation as draw_rotation,
    draw_scale_rotation as draw_scale_rotation,
    draw_square_crop as draw_square_crop,
    scale_rotation_reach as scale_rotation_reach,
    square_crop_reach as square_crop_reach,
)
from .restyling import exchanged_moments as exchanged_moments
