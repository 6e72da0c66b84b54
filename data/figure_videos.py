"""Videos of drawn people who do something that has a name: the data of every demo that learns from motion.

Video number n of a seed and a domain depends on these three alone, so any part of the endless set can be drawn by
itself. Its action is number n of `actions`, over and over.
"""
from collections.abc import Sequence

import numpy as np

from data.figure_actions import ACTIONS, SEVENTEEN, Recording, perform, seen, seventeen
from data.figure_looks import Domain, background, draw_body, finish, limb_colours, target
from data.figure_poses import joints
from data.figures import drawn_numbers
from kpjax.errors import InputError
from kpjax.input.source import arrays
from kpjax.input.video_source import VideoSource, numbered

__all__ = ["ACTIONS", "SEVENTEEN", "figure_videos"]


def figure_videos(
    count: int, frames: int, side: int, *, domain: Domain | None = None, seed: int = 0, first: int = 0,
    actions: Sequence[str] = tuple(ACTIONS), recordings: Sequence[Recording] = (),
) -> VideoSource:
    """`count` videos of `frames` frames, numbers `first` and on, drawn now and kept in memory, with 17 joints each.

    A figure has one look and stands before a still background; noise differs from frame to frame. domain: how they
    look, None for `target(0)`. recordings: motion that was recorded, each under an action of its own or of `actions`
    (several of one action are taken in turn); see `data.figure_actions.recording`.
    `facts` has the "action" of each video. `scale` is the image's side. About 1 ms a frame at 64 px.
    Raises InputError for an action that is neither drawn nor recorded, or without any frame.
    """
    if count < 1 or frames < 1:
        raise InputError(f"figures: {count} videos of {frames} frames; give at least one of each")
    domain = domain or target(0.0)
    recorded = {action: [one for one in recordings if one.action == action] for action in dict.fromkeys(
        one.action for one in recordings)}
    actions = tuple(dict.fromkeys([*actions, *recorded]))
    performed = [actions[number % len(actions)] for number in range(first, first + count)]
    points, images = [], []
    for number, action in zip(range(first, first + count), performed, strict=True):
        moves = drawn_numbers(seed, domain, number, "action")
        if action in recorded:
            take = recorded[action][number // len(actions) % len(recorded[action])]
            spots = seen(take, moves, frames, side)
        else:
            spots = joints(perform(action, moves, frames), side, together=True)
        look = drawn_numbers(seed, domain, number, "action look")
        colours, behind = limb_colours(domain, look), background(domain, look, side)
        images += [finish(draw_body(body, colours, domain.outline, side), behind, domain.noise, look)
                   for body in spots]
        points.append(seventeen(spots))
    keypoints = np.concatenate(points)
    inside = ((keypoints > -0.5) & (keypoints < side - 0.5)).all(-1)
    source = arrays(np.stack(images), keypoints * inside[..., None], inside, SEVENTEEN,
                    f"figure videos/{domain.name}/{seed}/{first}-{first + count - 1}")
    return numbered(source, [frames] * count, [f"{domain.name}-{number:05d}" for number in range(first, first + count)],
                    {"action": tuple(performed)})
