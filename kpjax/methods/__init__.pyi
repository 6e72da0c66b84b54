from .adaptation_family.adaptation import (
    adaptation as adaptation,
    adaptation_objective as adaptation_objective,
    plain_variables as plain_variables,
)
from .adaptation_family.parametrisation import (
    Parametrisation as Parametrisation,
    adapted as adapted,
    finetuned as finetuned,
    finetuned_last as finetuned_last,
    scratch as scratch,
)
from .adaptation_family.view_pairs import similarity_views as similarity_views
from .ensembles import (
    ensemble as ensemble,
    joint_prediction as joint_prediction,
    members_of_ensemble as members_of_ensemble,
)
from .forward import (
    imagenet_normalise as imagenet_normalise,
    symmetric_normalise as symmetric_normalise,
)
from .incremental_family.association import (
    association as association,
    association_predict as association_predict,
)
from .incremental_family.importance import (
    fisher as fisher,
    memory_aware_synapses as memory_aware_synapses,
)
from .incremental_family.incremental import Tracker as Tracker, incremental as incremental
from .incremental_family.memories import (
    adaptive_consolidation as adaptive_consolidation,
    walk_by_updates as walk_by_updates,
)
from .incremental_family.objectives import (
    association_term as association_term,
    channel_distillation_term as channel_distillation_term,
    coarse_term as coarse_term,
    entropy_term as entropy_term,
    incremental_objective as incremental_objective,
    memory_replay_term as memory_replay_term,
    new_keypoints_term as new_keypoints_term,
    penalty_term as penalty_term,
    self_training_term as self_training_term,
    spatial_distillation_term as spatial_distillation_term,
    true_points_term as true_points_term,
)
from .incremental_family.step_spec import increment as increment
from .pyramids_family.keynet import keynet as keynet, keynet_objective as keynet_objective
from .pyramids_family.objectives import (
    all_reconstruction as all_reconstruction,
    all_transport as all_transport,
    no_reconstruction as no_reconstruction,
    no_spring as no_spring,
    no_transport as no_transport,
    pyramids_objective as pyramids_objective,
)
from .pyramids_family.permakey import (
    permakey as permakey,
    permakey_objective as permakey_objective,
)
from .pyramids_family.pyramids import pyramids as pyramids
from .pyramids_family.transporter import (
    transporter as transporter,
    transporter_objective as transporter_objective,
)
from .regda_family.feature_matching import adabn as adabn, dan as dan, dann as dann
from .regda_family.regda import regda as regda, regda_objective as regda_objective
from .regda_family.source_free import (
    source_free as source_free,
    source_free_objective as source_free_objective,
)
from .regda_family.teacher_adaptation import (
    teacher_adaptation as teacher_adaptation,
    teacher_adaptation_objective as teacher_adaptation_objective,
)
from .regda_family.two_regressors import dd as dd, mcd as mcd
from .semi_supervised_family.data_distillation import (
    agreed_predict as agreed_predict,
    distilled_predict as distilled_predict,
    pseudo_labels as pseudo_labels,
    turned_predict as turned_predict,
    where_views_agree as where_views_agree,
)
from .semi_supervised_family.easy_hard import (
    easy_hard as easy_hard,
    easy_hard_objective as easy_hard_objective,
)
from .semi_supervised_family.image_generation import (
    image_generation as image_generation,
    image_generation_objective as image_generation_objective,
)
from .semi_supervised_family.objectives import (
    balanced_weights as balanced_weights,
    equivariance_term as equivariance_term,
    equivariant_landmark_objective as equivariant_landmark_objective,
    invariance_term as invariance_term,
    pseudo_label_objective as pseudo_label_objective,
    semantic_term as semantic_term,
    semi_supervised_objective as semi_supervised_objective,
)
from .semi_supervised_family.semi_supervised import semi_supervised as semi_supervised
from .setup import Setup as Setup, default_setup as default_setup
from .supervised_learning import (
    supervised as supervised,
    supervised_objective as supervised_objective,
)
