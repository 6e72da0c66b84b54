"""Facts about a project that its files do not state.

Nothing here imports JAX: commands have them as flags.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an annotation project is read."""

    category: str = ""  # the category of a COCO file with several
    #: folder of videos that are not where the project says
    video_root: Annotated[str, arg(metavar="FOLDER")] = ""
    #: what labels call the centre of the top-left pixel; 0.5 counts from its corner, `tool` as the
    #: tool that wrote them
    pixels_from: Literal["tool", "0", "0.5", "1"] = "tool"
    #: what a table calls the first frame of a video
    frames_from: Literal["0", "1"] = "0"
    rescale_labels: bool = False  # scale the labels of images that were resized after labelling
    #: width and height of the images that were labelled, where the files do not say them; scales
    labelled_size: Annotated[str, arg(metavar="WIDTHxHEIGHT")] = ""
    #: px, of the square about the point of an animal with one keypoint; 0 chooses
    box_side: float = 0.0
    drop_zeros: bool = False  # leave out points at exactly (0, 0), where nobody labelled them

    @property
    def video_folder(self) -> Path | None:
        """The folder `video_root`; None if none is named."""
        return Path(self.video_root).expanduser() if self.video_root else None


STATED = Options()  # the files say everything
