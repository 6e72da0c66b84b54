from .adversarial import (
    PseudoMaps as PseudoMaps,
    ground_false_by_area as ground_false_by_area,
    ground_false_by_others as ground_false_by_others,
    ground_false_uniform as ground_false_uniform,
    maximum_disparity as maximum_disparity,
    minimum_disparity as minimum_disparity,
)
from .consistency import (
    semantic_consistency as semantic_consistency,
    semantic_representation as semantic_representation,
    surest as surest,
    transformation_equivariance as transformation_equivariance,
    transformation_invariance as transformation_invariance,
    unit_representation as unit_representation,
)
from .continual import (
    Walk as Walk,
    fused_importance as fused_importance,
    normalised_importance as normalised_importance,
    quadratic_penalty as quadratic_penalty,
    start_walk as start_walk,
    walk_importance as walk_importance,
    walk_on as walk_on,
)
from .distillation import (
    line_entropy as line_entropy,
    mse_distillation as mse_distillation,
    spatial_distillation as spatial_distillation,
)
from .domain_distances import (
    domain_confusion as domain_confusion,
    multi_kernel_mmd as multi_kernel_mmd,
    softmax_discrepancy as softmax_discrepancy,
)
from .gradient_scaling import (
    scale_gradient as scale_gradient,
    warm_start as warm_start,
)
from .heatmap import (
    coarse_to_fine as coarse_to_fine,
    coarse_to_fine_targets as coarse_to_fine_targets,
    hardest_keypoints_mse as hardest_keypoints_mse,
    heatmap_kl as heatmap_kl,
    heatmap_kl_per_keypoint as heatmap_kl_per_keypoint,
    heatmap_mse as heatmap_mse,
)
from .learning_without_forgetting import channel_distillation as channel_distillation
from .objective import (
    Objective as Objective,
    replaced as replaced,
    reweighted as reweighted,
    total as total,
    views as views,
    without as without,
)
from .pose_subspace import (
    PoseSubspace as PoseSubspace,
    fit_pose_subspace as fit_pose_subspace,
)
from .pyramids import (
    parent_of_child as parent_of_child,
    spring as spring,
    still_mass as still_mass,
    transport_features as transport_features,
    transporter_transported as transporter_transported,
)
from .reconstruction import (
    balanced_distances as balanced_distances,
    feature_distances as feature_distances,
    feature_sizes as feature_sizes,
    moved_averages as moved_averages,
    pixel_mse as pixel_mse,
)
