"""Any folder of videos as a dataset and as a source, with and without a table of labels."""

import numpy as np
import pytest
from PIL import Image

from data.prepared import open_source, prepare
from data.videos import DATASET
from kpjax.errors import InputError
from kpjax.formats.video_labels import TABLE, with_labels
from kpjax.images.transforms import Letterbox
from kpjax.images.video import find_videos, write_video
from kpjax.input.pairs import frame_pairs
from kpjax.input.video_source import in_videos, read_videos

ROWS = [
    "video,frame,keypoint,x,y,visible",
    "a.mp4,0,nose,10,20,1",
    "a.mp4,0,tail,30,21.5,",
    "a.mp4,3,tail,1,2,0",
    "a.mp4,3,nose,500,2,1",
    "a.mp4,5,nose,-0.5,2,1",
    "sub/b.mp4,7,tail,5,6,1",
]


def moving(frames):
    """Returns frames of a white square on grey that moves to the right by 2 px per frame."""
    images = np.full((frames, 32, 64, 3), 70, np.uint8)
    for number, image in enumerate(images):
        image[12:20, 2 * number : 2 * number + 8] = 250
    return images


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "my videos"
    (root / "sub" / "frames").mkdir(parents=True)
    write_video(root / "a.mp4", moving(10))
    write_video(root / "sub" / "b.mp4", moving(8))
    for number, image in enumerate(moving(6)):
        Image.fromarray(image).save(root / "sub" / "frames" / f"{number}.png")
    return root


def test_a_folder_without_labels_is_prepared_and_split_by_video(folder, tmp_path):
    prepare(DATASET, folder, tmp_path / "prepared")
    train, test = (
        in_videos(
            open_source("videos", part, data_dir=tmp_path / "prepared", transform=Letterbox(32))
        )
        for part in ("train", "test")
    )
    assert sorted([*train.titles, *test.titles]) == ["a.mp4", "sub/b.mp4", "sub/frames"]
    assert len(train) + len(test) == 24
    assert train.skeleton.names == ()
    assert train[3].keypoints.shape == (0, 2)
    assert train[3].scale == 32
    assert frame_pairs(train, window=4, batch_size=4, seed=0)["reference"][0].visible.shape == (
        4,
        0,
    )


def test_labels_reach_records_and_sources(folder, tmp_path):
    (folder / TABLE).write_text("\n".join(ROWS))
    prepare(DATASET, folder, tmp_path / "prepared")
    source = in_videos(
        open_source("videos", "train+test", data_dir=tmp_path / "prepared", transform=Letterbox(64))
    )
    videos = find_videos(folder)
    read = with_labels(read_videos(videos, Letterbox(64)), folder / TABLE, videos)
    for one in (source, read):
        assert one.skeleton.names == ("nose", "tail")
        assert one.titles == ("a.mp4", "sub/b.mp4", "sub/frames")
        # letterboxed by 16 rows
        np.testing.assert_allclose(one[0].keypoints, [[10, 36], [30, 37.5]], atol=1e-4)
        assert one[0].visible.tolist() == [1, 1]
        assert one[3].visible.tolist() == [0, 0]  # one is marked so, one lies outside
        assert one[5].visible.tolist() == [1, 0]  # on the near edge, which is inside
        assert one[17].visible.tolist() == [0, 1]
        assert sum(float(one[row].visible.sum()) for row in range(len(one))) == 4
        bright = np.argwhere(one[2].image.min(-1) > 200)
        np.testing.assert_allclose(bright.mean(0), [31.5, 7.5], atol=0.5)


def test_labels_of_several_animals_are_refused(folder):
    """The last one's were taken."""
    columns = "video,frame,instance,keypoint,x,y"
    rows = [f"a.mp4,0,{animal},nose,{10 + animal},20" for animal in range(2)]
    (folder / TABLE).write_text("\n".join([columns, *rows]))
    videos = find_videos(folder)
    with pytest.raises(InputError, match=r"frame 0 of a\.mp4 has several animals"):
        with_labels(read_videos(videos, Letterbox(64)), folder / TABLE, videos)


def test_a_folder_without_video_and_broken_frames(folder, tmp_path):
    (tmp_path / "empty" / "b").mkdir(parents=True)
    with pytest.raises(InputError, match="there is no video in this folder"):
        prepare(DATASET, tmp_path / "empty", tmp_path / "prepared")
    broken = folder / "sub" / "frames" / "2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(InputError, match="sub/frames#000002: the frame does not decode"):
        prepare(DATASET, folder, tmp_path / "prepared")
    builder = prepare(DATASET, folder, tmp_path / "prepared", on_bad_image="skip")
    assert builder.skipped == ["sub/frames#000002: the frame does not decode"]
    assert sum(part.num_examples for part in builder.info.splits.values()) == 23
