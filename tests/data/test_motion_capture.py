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


def skeleton(path, bones, hierarchy):
    """Writes an ASF file. bones: (name, direction, length, axis, degrees of freedom or "")."""
    described = [
        f"  begin\n     id {number}\n     name {name}\n     direction {direction}\n     length {length}\n"
        f"     axis {axis} XYZ\n" + (f"    dof {dof}\n    limits (-160.0 20.0)\n      (-70.0 70.0)\n" if dof else "")
        + "  end\n" for number, (name, direction, length, axis, dof) in enumerate(bones, start=1)]
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
    given = (  # root, upper and lower, and where the bones end
        ("0 0 0 0 0 0", "0 0 0", 0, [[0, 0, 0], [3, 0, 0], [5, 0, 0], [3, 1, 0]]),
        ("1 2 3 0 0 90", "0 0 0", 0, [[1, 2, 3], [1, 5, 3], [1, 7, 3], [0, 5, 3]]),
        ("0 0 0 0 0 0", "0 0 90", 0, [[0, 0, 0], [0, 3, 0], [0, 5, 0], [-1, 3, 0]]),
        # First about x, which leaves x as it is and takes y to z, then about z.
        ("0 0 0 0 0 0", "90 0 90", 0, [[0, 0, 0], [0, 3, 0], [0, 5, 0], [0, 3, 1]]),
        # About the bone's own x, which lies along y: x goes to -z.
        ("0 0 0 0 0 0", "0 0 0", 90, [[0, 0, 0], [3, 0, 0], [3, 0, -2], [3, 1, 0]]))
    frames = motion(tmp_path / "a.amc", *([f"root {root}", f"upper {upper}", f"lower {lower}"]
                                          for root, upper, lower, _ in given))
    np.testing.assert_allclose(positions(body, read_motion(frames, body)), [ends for *_, ends in given], atol=1e-12)


def test_radians_and_units(arm, tmp_path):
    arm.write_text(arm.read_text().replace("length 0.0254", "length 0.45"))
    body = read_skeleton(arm)
    assert body.metres == pytest.approx(0.0254 / 0.45)
    file = motion(tmp_path / "a.amc", ["root 0 0 0 0 0 0", f"upper 0 0 {np.pi / 2}", "lower 0"])
    file.write_text(file.read_text().replace(":DEGREES", ":RADIANS"))
    np.testing.assert_allclose(positions(body, read_motion(file, body))[0, 1] / body.metres, [0, 3, 0], atol=1e-12)


def test_files_that_do_not_match(arm, tmp_path):
    body, root, upper, lower = read_skeleton(arm), "root 0 0 0 0 0 0", "upper 0 0 0", "lower 0"
    for frames, said in (
        ([[root, upper, lower, "tail 3"]], "line 8: bone tail"), ([[root, "upper 0 0", lower]], "line 6: expected 3"),
        ([[root, upper, lower], [root, upper]], "frame 2 has no values for lower"),
        ([[root, "upper 0 x 0", lower]], "line 6: expected numbers, found 0 x 0"), ([], "no frame found")):
        with pytest.raises(InputError, match=rf"wrong\.amc.*{said}"):
            read_motion(motion(tmp_path / "wrong.amc", *frames), body)
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
    for name, place in (("head", [0, 2.5, 0]), ("left_foot", [1, -2, 0]), ("right_elbow", [-1, 0, 0])):
        np.testing.assert_allclose(at[name], place, atol=1e-12)
    points = seen(recorded, np.random.default_rng(0), 12, 64)
    assert points.shape == (12, 15, 2)
    assert 0 < points.min() < points.max() < 63
    np.testing.assert_allclose(points[8], points[0], atol=1e-4)  # five frames, and three on the way back
    asf.write_text(asf.read_text().replace("lfemur", "thigh"))
    with pytest.raises(InputError, match="bone 'lfemur' is unknown; choose among root, thorax"):
        recording(asf, amc, "swing")
