"""Motion capture: forward kinematics by hand, and files that do not match."""
import numpy as np
import pytest

from data.figure_actions import BONES, recording, seen
from data.figure_poses import JOINTS
from data.motion_capture import positions, read_motion, read_skeleton
from kpjax.errors import InputError

ROOT = """# by hand
:version 1.10
:units
  mass 1.0
  length 0.0254
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
"""
BONE = """  begin
     id {id}
     name {name}
     direction {direction}
     length {length}
     axis {axis} XYZ
{dof}  end
"""


def skeleton(path, bones, hierarchy):
    """Writes an ASF file. bones: (name, direction, length, axis, degrees of freedom or "")."""
    described = [BONE.format(id=number, name=name, direction=direction, length=length, axis=axis,
                             dof=f"    dof {dof}\n    limits (-160.0 20.0)\n           (-70.0 70.0)\n" if dof else "")
                 for number, (name, direction, length, axis, dof) in enumerate(bones, start=1)]
    path.write_text(ROOT + "".join(described) + ":hierarchy\n  begin\n" +
                    "".join(f"    {line}\n" for line in hierarchy) + "  end\n")
    return path


def motion(path, *frames):
    path.write_text("#!OML:ASF\n:FULLY-SPECIFIED\n:DEGREES\n" + "".join(
        f"{number}\n" + "".join(f"{line}\n" for line in frame) for number, frame in enumerate(frames, start=1)))
    return path


@pytest.fixture
def arm(tmp_path):
    """Writes two bones along x: an upper one that turns about all axes, a lower one whose axis is turned about z."""
    bones = [("upper", "2 0 0", 3, "0 0 0", "rx ry rz"), ("fixed", "0 1 0", 1, "0 0 0", ""),
             ("lower", "1 0 0", 2, "0 0 90", "rx")]
    return skeleton(tmp_path / "arm.asf", bones, ["root upper", "upper lower fixed"])


def test_forward_kinematics(arm, tmp_path):
    body = read_skeleton(arm)
    assert body.metres == pytest.approx(1)
    assert [bone.name for bone in body.bones] == ["root", "upper", "lower", "fixed"]
    frames = motion(tmp_path / "a.amc", ["root 0 0 0 0 0 0", "upper 0 0 0", "lower 0"],
                    ["root 1 2 3 0 0 90", "upper 0 0 0", "lower 0"],
                    ["root 0 0 0 0 0 0", "upper 0 0 90", "lower 0"],
                    ["root 0 0 0 0 0 0", "upper 90 0 90", "lower 0"],
                    ["root 0 0 0 0 0 0", "upper 0 0 0", "lower 90"])
    ends = positions(body, read_motion(frames, body))
    assert ends.shape == (5, 4, 3)
    np.testing.assert_allclose(ends[0], [[0, 0, 0], [3, 0, 0], [5, 0, 0], [3, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(ends[1], [[1, 2, 3], [1, 5, 3], [1, 7, 3], [0, 5, 3]], atol=1e-12)
    np.testing.assert_allclose(ends[2], [[0, 0, 0], [0, 3, 0], [0, 5, 0], [-1, 3, 0]], atol=1e-12)
    # First about x, which leaves x as it is and takes y to z, then about z.
    np.testing.assert_allclose(ends[3], [[0, 0, 0], [0, 3, 0], [0, 5, 0], [0, 3, 1]], atol=1e-12)
    # About the bone's own x, which lies along y: x goes to -z.
    np.testing.assert_allclose(ends[4], [[0, 0, 0], [3, 0, 0], [3, 0, -2], [3, 1, 0]], atol=1e-12)


def test_radians_and_units(arm, tmp_path):
    arm.write_text(arm.read_text().replace("length 0.0254", "length 0.45"))
    body = read_skeleton(arm)
    assert body.metres == pytest.approx(0.0254 / 0.45)
    file = motion(tmp_path / "a.amc", ["root 0 0 0 0 0 0", f"upper 0 0 {np.pi / 2}", "lower 0"])
    file.write_text(file.read_text().replace(":DEGREES", ":RADIANS"))
    np.testing.assert_allclose(positions(body, read_motion(file, body))[0, 1] / body.metres, [0, 3, 0], atol=1e-12)


def test_files_that_do_not_match(arm, tmp_path):
    body = read_skeleton(arm)
    root, upper, lower = "root 0 0 0 0 0 0", "upper 0 0 0", "lower 0"
    for frames, said in (
        ([[root, upper, lower, "tail 3"]], "line 8: bone tail does not move in arm.asf; use the skeleton of"),
        ([[root, "upper 0 0", lower]], "line 6: expected 3 values for upper, as in arm.asf, found 2"),
        ([[root, upper, lower], [root, upper], [root, upper, lower]], "frame 2 has no values for lower, which moves"),
        ([[root, "upper 0 x 0", lower]], "line 6: expected numbers, found 0 x 0"),
        ([], "no frame found"),
    ):
        with pytest.raises(InputError, match=said) as raised:
            read_motion(motion(tmp_path / "wrong.amc", *frames), body)
        assert "wrong.amc" in str(raised.value)
    arm.write_text(arm.read_text().replace("upper lower fixed", "upper lower hand"))
    with pytest.raises(InputError, match="bone hand of the hierarchy is not in :bonedata"):
        read_skeleton(arm)


def test_a_recording_becomes_a_figure(tmp_path):
    parents = {"head": "upperneck", "upperneck": "thorax", "thorax": "root"}
    for side in "lr":
        parents |= {f"{side}hipjoint": "root", f"{side}femur": f"{side}hipjoint", f"{side}tibia": f"{side}femur",
                    f"{side}clavicle": "thorax", f"{side}humerus": f"{side}clavicle", f"{side}wrist": f"{side}humerus"}
    down = ("femur", "tibia", "humerus", "wrist")
    bones = [(name, "0 -1 0" if name.endswith(down) else "0 1 0" if name in ("head", "upperneck", "thorax") else
              f"{1 if name[0] == 'l' else -1} 0 0", 1, "0 0 0", "rx" if name.endswith("humerus") else "")
             for name in parents]
    hierarchy = ["root thorax lhipjoint rhipjoint", "thorax upperneck lclavicle rclavicle", "upperneck head",
                 *(f"{parent} {name}" for name, parent in parents.items() if name.endswith(down))]
    asf = skeleton(tmp_path / "person.asf", bones, hierarchy)
    amc = motion(tmp_path / "swing.amc", *[
        [f"root {step} 0 0 0 0 0", f"lhumerus {9 * step}", f"rhumerus {-9 * step}"] for step in range(9)])
    recorded = recording(asf, amc, "swing", every=2)
    assert recorded.points.shape == (5, len(BONES), 3)
    at = dict(zip(JOINTS, recorded.points[0], strict=True))
    np.testing.assert_allclose(at["head"], [0, 2.5, 0], atol=1e-12)
    np.testing.assert_allclose(at["left_foot"], [1, -2, 0], atol=1e-12)
    np.testing.assert_allclose(at["right_elbow"], [-1, 0, 0], atol=1e-12)
    points = seen(recorded, np.random.default_rng(0), 12, 64)
    assert points.shape == (12, 15, 2)
    assert points.min() > 0
    assert points.max() < 63
    np.testing.assert_allclose(points[8], points[0], atol=1e-4)  # five frames, and three on the way back
    asf.write_text(asf.read_text().replace("lfemur", "thigh"))
    with pytest.raises(InputError, match="bone 'lfemur' is unknown; choose among root, thorax"):
        recording(asf, amc, "swing")
