"""The 68 points of a face, by iBUG's mark-up.

Sagonas et al., 300 Faces in-the-Wild Challenge, ICCVW 2013.
"""

from pathlib import Path

from kpjax.files import read_json
from kpjax.structures import Skeleton, skeleton_from_json

# left and right are the person's
FACE: Skeleton = skeleton_from_json(read_json(Path(__file__).with_name("face.json")))
