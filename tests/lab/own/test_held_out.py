"""Which labelled frames are held out, by recordings, splits and shares, and which frames without
labels are left out with them.
"""

import itertools
import shutil

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.formats.project import instance_of
from kpjax.images.video import write_video
from kpjax.lab.own import project as own_project
from kpjax.lab.own.project import hold_out


def test_what_is_held_out(project):
    held = hold_out(project)
    assert len(held.recordings) == 1
    assert {project.frames[project.instances[n].frame].session for n in held.train} == {
        "one",
        "two",
        "three",
    } - set(held.recordings)
    assert hold_out(project, "two, one").recordings == ("one", "two")
    numbered = project._replace(
        frames=tuple(
            frame._replace(session={"one": "01"}.get(frame.session, frame.session))
            for frame in project.frames
        )
    )
    assert hold_out(numbered, "01").recordings == ("01",)  # no share
    together = project._replace(
        frames=tuple(frame._replace(session="day") for frame in project.frames)
    )
    blocks = hold_out(together, "0.25")
    assert blocks.held_out == (9, 10, 11)  # the last three in time, whatever the order in the file
    assert blocks.stretches == {"day": ((("img", 13), None),)}
    alone = project._replace(frames=tuple(frame._replace(session="") for frame in project.frames))
    assert hold_out(alone, "0.25").words.startswith("3 of 12 labelled frames, the last by name")
    said = tuple(
        frame._replace(split="test" if n < 2 else "train") for n, frame in enumerate(project.frames)
    )
    assert hold_out(project._replace(frames=said)).held_out == (0, 1)
    # Of a split that is held out images without labels are left out, and a recording that lies in
    # it as a whole.
    unseen = project.frames[0]._replace(
        path=project.root / "unseen.png", name="unseen.png", split="test", session=""
    )
    said = project._replace(
        frames=(
            *(
                frame._replace(split="test" if frame.session == "one" else "train")
                for frame in project.frames
            ),
            unseen,
        )
    )
    assert hold_out(said).recordings == ("one",)
    taken = own_project.unlabelled_frames(said, hold_out(said), ()).taken(1, said.root)
    assert taken
    assert {frame.split for frame in taken} == {"train"}
    for asked, line in [
        ("four", "'four' is not a labelled recording"),
        ("1.5", "lies between 0 and 1"),
        ("one,two,three", "12 of 12 labelled frames"),
    ]:
        with pytest.raises(InputError, match=line):
            hold_out(project, asked)


def test_recordings_are_drawn_so_that_most_labels_and_all_keypoints_train():
    def drawn(sizes, **shown):
        shown = {name: np.array(shown.get(name, (True, True))) for name in sizes}
        return own_project._draw_recordings(sizes, shown, 0.2)

    for order in itertools.permutations("abc"):
        assert drawn(dict(zip(order, (5, 5, 200), strict=True))) != [order[2]]
        assert drawn(
            dict.fromkeys(order, 6), a=(True, False), b=(True, False), c=(False, True)
        ) != ["c"]
        # of an arena without an animal nothing is measured
        sizes = dict.fromkeys([*order, "d"], 6)
        assert drawn(sizes, **{order[0]: (False, False)}) in ([name] for name in [*order[1:], "d"])


def test_of_images_in_one_folder_the_part_that_is_held_out_begins_within_one_animal(project):
    """All images with a higher number were left out, whatever they are called."""
    names = [f"mouse{animal}_{number:02d}" for animal in "ABC" for number in range(6)]
    flat_folder = project._replace(
        frames=tuple(
            frame._replace(session="", path=frame.path.with_name(f"{name}.png"), name=name)
            for frame, name in zip(project.frames, names, strict=True)
        )
    )
    held = hold_out(flat_folder, "0.25")
    assert held.stretches == {"": ((("mouseC_", 1), None),)}
    found = own_project.unlabelled_frames(flat_folder, held, ())
    taken = [frame.path.stem for frame in found.taken(1, project.root)]
    assert taken == ["mouseA_04", "mouseA_05", "mouseB_04", "mouseB_05"]


def test_frames_with_animals_and_without_are_held_out_in_equal_shares(project):
    """An animal that comes late was seen in the held-out part alone."""
    day = tuple(frame._replace(session="day") for frame in project.frames)
    late = project._replace(
        frames=day, instances=project.instances[8:], nobody=frozenset(range(10))
    )
    nobody = np.full((len(project.skeleton.names), 2), np.nan)
    none_there = tuple(instance_of(number, nobody) for number in range(10))
    held = hold_out(late._replace(instances=(*none_there, *late.instances)))
    numbers = [
        [("nobody" if number < 10 else "animal") for number in part]
        for part in (held.train, held.held_out)
    ]
    assert [part.count("animal") for part in numbers] == [3, 1]
    assert [part.count("nobody") for part in numbers] == [8, 2]
    assert held.stretches == {
        "day": ((("img", 8), ("img", 12)), (("img", 15), None)),
    }


def test_frames_of_a_held_out_part_are_left_out(project, tmp_path):
    (tmp_path / "videos").mkdir()
    write_video(
        tmp_path / "day.mp4",
        iter([np.full((32, 32, 3), n, np.uint8) for n in range(20)]),
        rate=10.0,
    )
    together = project._replace(
        frames=tuple(frame._replace(session="day.mp4") for frame in project.frames)
    )
    held = hold_out(together, "0.25")  # from frame 13 on
    found = own_project.unlabelled_frames(together, held, [str(tmp_path / "day.mp4")])
    assert [frame.number for frame in found.taken(1, project.root)] == list(range(13))
    assert [frame.number for frame in found.taken(5, project.root)] == [0, 5, 10]
    # Of a split within a video the frames that are held out.
    split = project._replace(
        frames=tuple(
            frame._replace(
                session="day.mp4",
                path=tmp_path / "day.mp4",
                number=n,
                split="validation" if n > 9 else "train",
            )
            for n, frame in enumerate(project.frames)
        )
    )
    held = hold_out(split)
    found = own_project.unlabelled_frames(split, held, [str(tmp_path / "day.mp4")])
    tested = {split.frames[split.instances[n].frame].number for n in held.held_out}
    assert {frame.number for frame in found.taken(1, project.root)} == {*range(20)} - tested
    # A project may call its videos otherwise than their files are.
    named = project._replace(
        frames=tuple(
            frame._replace(session=f"day {n % 3}")
            if n % 3
            else frame._replace(session="day 0", path=tmp_path / "day.mp4", number=n)
            for n, frame in enumerate(project.frames)
        )
    )
    found = own_project.unlabelled_frames(
        named, hold_out(named, "day 0"), [str(tmp_path / "day.mp4")]
    )
    assert not found.taken(1, project.root)
    # Images of a held-out recording, whoever names them; and of two cameras of one name the one
    # that is held out.
    found = own_project.unlabelled_frames(
        project, hold_out(project, "two"), [str(project.root / "two")]
    )
    assert not found.taken(1, project.root)
    cameras = project._replace(
        frames=tuple(
            frame._replace(session=f"mouse{n // 6}/cam.mp4")
            for n, frame in enumerate(project.frames)
        )
    )
    for mouse in ("mouse0", "mouse1"):
        (tmp_path / mouse).mkdir()
        shutil.copy(tmp_path / "day.mp4", tmp_path / mouse / "cam.mp4")
    found = own_project.unlabelled_frames(
        cameras,
        hold_out(cameras, "mouse1/cam.mp4"),
        [str(tmp_path / mouse / "cam.mp4") for mouse in ("mouse0", "mouse1")],
    )
    assert {frame.path.parent.name for frame in found.taken(1, project.root)} == {"mouse0"}
    # By default frames without labels and the project's videos, and none of a recording that is
    # held out.
    held = hold_out(project)
    shutil.move(tmp_path / "day.mp4", tmp_path / "videos" / "day.mp4")
    for name in (held.recordings[0], "other_labeled"):
        shutil.copy(tmp_path / "videos" / "day.mp4", tmp_path / "videos" / f"{name}.mp4")
    (tmp_path / "videos" / "torn.mp4").write_bytes(b"no video")
    taken = own_project.unlabelled_frames(project._replace(root=tmp_path), held, ()).taken(
        1, tmp_path
    )
    assert [frame.number for frame in taken if frame.number is not None] == list(range(20))
    assert {frame.session for frame in taken if frame.number is None} == {
        "one",
        "two",
        "three",
    } - set(held.recordings)
