"""Videos of synthetic people who perform named actions: the data of the demos that learn from
motion.

Video n depends on the seed, the domain and n alone, so any part of the endless set can be rendered
on its own. Actions repeat in the order of `ACTIONS`.
"""

import numpy as np

from data.figure_actions import ACTIONS, SEVENTEEN, perform, seventeen
from data.figure_looks import Domain, background, finish, limb_colours, render_body, target
from data.figure_poses import joints
from data.figures import generator_of
from kpjax.errors import InputError
from kpjax.input.source import arrays
from kpjax.input.video_source import VideoSource, group_into_videos

__all__ = ["ACTIONS", "SEVENTEEN", "figure_videos"]


def figure_videos(
    count: int,
    frames: int,
    side: int,
    *,
    domain: Domain | None = None,
    seed: int = 0,
    first: int = 0,
) -> VideoSource:
    """Renders videos of people into memory, with 17 joints each: about 1 ms per frame at 64 px.

    A figure has a fixed appearance and a still background; noise differs between frames. `facts`
    has the "action" of each video, and `scale` is the image's side, px.

    domain: the appearance, None for `target(0)`. seed: selects the endless set. first: number of
    the first video. Raises InputError if there is no frame.
    """
    if count < 1 or frames < 1:
        raise InputError(
            "figures",
            f"expected at least one video and one frame, found {count} videos of {frames} frames",
        )
    domain = domain or target(0.0)
    actions = tuple(ACTIONS)
    performed = [actions[number % len(actions)] for number in range(first, first + count)]
    points, images = [], []
    for number, action in zip(range(first, first + count), performed, strict=True):
        moves = generator_of(seed, domain, number, "action")
        spots = joints(perform(action, moves, frames), side, together=True)
        look = generator_of(seed, domain, number, "action look")
        colours, behind = limb_colours(domain, look), background(domain, look, side)
        images += [
            finish(render_body(body, colours, domain.outline, side), behind, domain.noise, look)
            for body in spots
        ]
        points.append(seventeen(spots))
    keypoints = np.concatenate(points)
    inside = ((keypoints > -0.5) & (keypoints < side - 0.5)).all(-1)
    source = arrays(
        np.stack(images),
        keypoints * inside[..., None],
        inside,
        SEVENTEEN,
        f"figure videos/{domain.name}/{seed}/{first}-{first + count - 1}",
    )
    return group_into_videos(
        source,
        [frames] * count,
        [f"{domain.name}-{number:05d}" for number in range(first, first + count)],
        {"action": tuple(performed)},
    )
