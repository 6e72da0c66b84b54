"""A run that was never trained: exported, moved, damaged, and made again from itself."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path, PurePosixPath

import chex
import numpy as np
import pytest
from own_runs import untrained_run
from PIL import Image
from predict_folder import rows_of

import kpjax
from kpjax import standalone
from kpjax.errors import InputError
from kpjax.images.transforms import (
    AroundBox,
    Letterbox,
    PersonCrop,
    ScaledByBox,
    Stretch,
    accepting_boxes,
)
from kpjax.lab.commands import Export
from kpjax.lab.commands.export import export
from kpjax.lab.out.export import _write_clamps, input_of
from kpjax.lab.predictors import open_predictor, open_run
from kpjax.structures import Skeleton, skeleton_from_json
from kpjax.training.trees import load_trained, save_trained

pytestmark = pytest.mark.usefixtures("symbolic_shapes_pass")
SIDE = 32
POINTS = Skeleton(("left", "middle", "right"), ((0, 1),), (2, 1, 0), {"ends": (0, 2)})
FILES = ("predict.bin", "run/model/trained.safetensors", "run.py", "predictor.json")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run, with an array and a mapping that no point depends on."""
    folder = untrained_run(tmp_path_factory.mktemp("runs"), POINTS, transform="letterbox")
    learnt = load_trained(folder / "model")
    shutil.rmtree(folder / "model")
    save_trained(
        folder / "model",
        learnt._replace(frozen={"teacher": {"kernel": np.ones((2, 5), np.float32)}, "none": {}}),
    )
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Its exported folder."""
    out = tmp_path_factory.mktemp("exported") / "predictor"
    return export(Export(run=run, out=out))


def test_copied_modules_are_those_of_the_library_and_import_nothing_else_of_it(exported):
    for module, copy in zip(standalone.MODULES, standalone.CODE, strict=True):
        text = (exported / copy).read_text()
        assert text == (Path(kpjax.__file__).parent / module).read_text()
        assert not re.search(r"^ *(from|import) kpjax", text, re.M)
        for dots, name in re.findall(r"^ *from (\.+)([\w.]*) import", text, re.M):
            path = PurePosixPath(module).parents[len(dots) - 1] / name.replace(".", "/")
            assert {f"{path}.py", f"{path}/__init__.py"} & {*standalone.MODULES}


def noise(*shape):
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


def test_the_folder_says_what_it_is(run, exported):
    description = json.loads((exported / "predictor.json").read_text())
    assert skeleton_from_json(description["skeleton"]) == POINTS
    assert description["input"] == {
        "shape": ["batch", 32, 32, 3],
        "dtype": "uint8",
        "layout": "NHWC, RGB, 0 to 255",
        "whole_images": True,
        "box_margin": 1.25,
    }
    assert description["platforms"] == ["cpu", "cuda", "tpu"]
    made, until = (
        datetime.fromisoformat(description[name][:10]) for name in ("made", "loads_until")
    )
    assert (until - made).days == 180
    assert description["left_out"] == 1
    again = open_run(exported)
    assert again.trained.frozen == {"none": {}}
    chex.assert_trees_all_equal(
        again.trained.variables, open_run(run).trained.variables, strict=True
    )
    ours, theirs = open_predictor(run), open_predictor(exported)
    for name in ("skeleton", "side", "score_kind", "title", "result"):
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(ours.cutoffs, theirs.cutoffs)


def test_twenty_images_of_all_sizes_lie_where_the_run_puts_them(run, exported):
    ours, runner = open_predictor(run), loaded(exported / "run.py")
    theirs = runner.open_predictor(exported)
    for size in (1, 20):  # bit for bit
        for one, other in zip(
            theirs.predict(noise(size, SIDE, SIDE, 3)),
            ours.predict(noise(size, SIDE, SIDE, 3)),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    images = [noise(7 + 23 * number % 211, 9 + 31 * number % 197, 3) for number in range(20)]
    boxes = np.array([(number - 4.5, 3.0, 20.0 + number, 31.5) for number in range(20)])
    for given in (None, boxes):
        squares = [
            ours.transform(
                image,
                np.zeros((3, 2), np.float32),
                np.zeros(3, np.float32),
                np.float32(1),
                None if given is None else given[number],
            )
            for number, image in enumerate(images)
        ]
        keypoints, scores = ours.predict(np.stack([example[0] for example in squares]))
        homogeneous = np.concatenate([keypoints, np.ones((20, 3, 1))], -1)
        wanted = np.stack(
            [
                points @ crop.astype(np.float64).T
                for points, (*_, crop) in zip(homogeneous, squares, strict=True)
            ]
        )[..., :2]
        found, certain = runner.points_on(theirs, images, given)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
        np.testing.assert_allclose(certain, scores, rtol=0, atol=1e-6)


def loaded(path):
    """run.py as a module."""
    spec = importlib.util.spec_from_file_location("exported_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("side", [37, 64])
def test_run_py_transforms_images_as_in_training_pixel_by_pixel(exported, side):
    """Of odd sides, of images narrower than a pixel of the square, and of boxes beyond the
    image."""
    runner, nothing = loaded(exported / "run.py"), (np.zeros((0, 2)), np.zeros(0), np.float32(1))
    for transform in (Letterbox(side), AroundBox(side), AroundBox(side, 1.5)):
        given = json.loads(json.dumps(input_of(transform)))
        assert given["whole_images"] == (transform == Letterbox(side))
        assert standalone.transform_of(given) == accepting_boxes(transform)
        assert input_of(standalone.transform_of(given)) == given
        for image in (noise(301, 2, 3), noise(1, 1, 3), noise(50, 90, 3)):
            box = None if given["whole_images"] else np.array([2.0, -2.5, 11.0, 21.25])
            square, _, _, _, crop = transform(image, *nothing, box)
            found, *_, map_ = runner.transform_of(given)(image, *nothing, box)
            np.testing.assert_array_equal(found, square)
            np.testing.assert_allclose(map_, crop, rtol=1e-6, atol=1e-5)
    for transform in (Stretch(64), PersonCrop(64), ScaledByBox(AroundBox(64))):
        with pytest.raises(InputError, match="transform: an exported predictor cannot do"):
            input_of(transform)


def test_a_predictor_of_crops_is_shown_with_the_box_that_it_needs(tmp_path, capsys):
    """The command that was printed before, without a box, is refused."""
    run = untrained_run(tmp_path / "runs", POINTS, transform="around_box")
    folder = export(Export(run=str(run), out=tmp_path / "predictor"))
    typed = f"python {folder / 'run.py'} IMAGE... --box X Y WIDTH HEIGHT"
    assert typed in capsys.readouterr().out.splitlines()[-2]
    Image.fromarray(noise(50, 90, 3)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="give a box for every image"):
        standalone.main(folder, [str(tmp_path / "a.png")])
    standalone.main(folder, [str(tmp_path / "a.png"), "--box", "5", "5", "40", "30"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(POINTS.names)


@pytest.mark.parametrize("name", [*FILES, standalone.CODE[-1], "SHA256SUMS"])
def test_one_flipped_byte_anywhere_is_refused_by_name(exported, tmp_path, name):
    copied = shutil.copytree(exported, tmp_path / "copy")
    whole = (copied / name).read_bytes()
    for position in (0, len(whole) // 3, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        (copied / name).write_bytes(damaged)
        with pytest.raises(InputError) as caught:
            open_predictor(copied)
        assert str(copied / name) in str(caught.value)
    (copied / name).write_bytes(whole)
    standalone.checked_description(copied)
    (copied / name).unlink()
    with pytest.raises(InputError, match=f"{name}: No such file"):
        standalone.open_predictor(copied)


# A process without this library and those it is built on.
FRESH = """
import runpy, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'kpjax', 'experiments', 'flax', 'optax', 'orbax', 'grain'}:
            raise ImportError(name + ' is imported, and must not be')
sys.meta_path.insert(0, Refused())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.mark.slow
def test_run_py_as_a_program(exported, tmp_path):
    """Keypoints of images in a table, and the self-test in a fresh process, which fails where the
    points differ.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, str(exported / "run.py"), "--self-test", "1e-3"],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.stdout.startswith("self-test: at most 0 px"), done.stderr
    runner = loaded(exported / "run.py")
    with pytest.raises(runner.InputError, match=r"points lie up to 0 px from those at export"):
        runner.main(exported, ["--self-test", "-1"])
    paths = [tmp_path / "a b.png", tmp_path / "c.png"]
    for path, image in zip(paths, (noise(50, 90, 3), noise(20, 20, 3)), strict=True):
        Image.fromarray(image).save(path)
    runner.main(
        exported, [*map(str, paths), "--out", str(tmp_path / "points.csv"), "--batch-size", "1"]
    )
    rows = rows_of(tmp_path / "points.csv")
    assert [(row["image"], row["keypoint"]) for row in rows] == [
        (str(path), name) for path in paths for name in POINTS.names
    ]
    wanted, _ = runner.points_on(runner.open_predictor(exported), [noise(50, 90, 3)])
    assert [float(row["x"]) for row in rows[:3]] == pytest.approx(wanted[0, :, 0], abs=1e-3)
    with pytest.raises(runner.InputError, match=r"points.csv: is there already"):
        runner.main(exported, [str(paths[0]), "--out", str(tmp_path / "points.csv")])
    paths.insert(1, tmp_path / "broken.png")
    paths[1].write_bytes(b"no image")
    with pytest.raises(runner.InputError, match=r"1 images are left out: .*broken.png"):
        runner.main(exported, [*map(str, paths), "--out", str(tmp_path / "others.csv")])
    assert rows_of(tmp_path / "others.csv") == rows


# ONNX models, where the converter is installed

REFUSE_JAX = (
    "import runpy, sys; sys.modules['jax'] = None; sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_clamps_of_an_onnx_model_are_one_operation_and_compute_the_same():
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    def one(kind, *names):
        return helper.make_node(kind, names[:-1], names[-1:])

    floats = {"zero": 0.0, "six": 6.0, "least": 0.5}
    graph = helper.make_graph(
        [
            *(one("Max", "x", "zero", "a"), one("Min", "a", "six", "clipped")),
            *(one("Max", "x", "zero", "b"), one("Min", "b", "x", "with_x")),  # no clamp
            *(one("Max", "x", "zero", "relu"), one("Min", "relu", "six", "both")),
            one("Max", "x", "least", "other"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
            for name in ("clipped", "with_x", "relu", "both", "other")
        ],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [at]) for name, at in floats.items()],
    )
    model = helper.make_model(graph)
    x = {"x": np.array([-2.0, 0.25, 3.0, 9.0], np.float32)}
    before = ReferenceEvaluator(model).run(None, x)
    _write_clamps(model.graph)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["Clip", "Relu", "Min", "Relu", "Clip", "Max"]
    chex.assert_trees_all_equal(ReferenceEvaluator(model).run(None, x), before)


def test_an_onnx_model_predicts_without_jax_and_is_no_run(run, tmp_path):
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    folder = export(Export(run=run, out=tmp_path / "predictor", to="onnx"))
    images = noise(20, SIDE, SIDE, 3)
    predict = open_predictor(folder).predict
    for result, alone in zip(predict(images), predict(images[3:4]), strict=True):
        np.testing.assert_allclose(result[3:4], alone, atol=1e-5)  # a batch of any size
    # Where two cells of a map are equally high, the order of sums decides which point is taken:
    # scores are compared.
    np.testing.assert_allclose(
        open_predictor(folder).predict(images)[1], open_predictor(run).predict(images)[1], atol=1e-4
    )
    done = subprocess.run(
        [sys.executable, "-c", REFUSE_JAX, str(folder / "run.py"), "--self-test", "0.05"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("self-test: at most"), done.stderr
    with pytest.raises(InputError, match="is an ONNX model"):
        open_run(folder)
