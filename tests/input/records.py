"""Records as tfds returns them."""
import io

import numpy as np
from PIL import Image


def stored_record(number: int, bytes_kept: float = 1.0):
    """A record as tfds returns it: an image of one grey level, perhaps cut off in the middle of its file."""
    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (20, 10, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    image = file.getvalue()
    return {"image": image[:int(len(image) * bytes_kept)], "keypoints": np.array([[4.5, 9.5], [0, 0]], np.float32),
            "visible": np.array([1, 0], np.float32), "scale": np.float32(7), "id": f"image_{number}.jpg".encode()}
