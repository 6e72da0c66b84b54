"""Predicted points as a list of COCO results, and the table of images and categories that their ids are of."""
from typing import Any

from kpjax.projects.predictions import OK, PredictionTable, extent, rows_to_write

CATEGORY = 1


def coco_results(table: PredictionTable) -> list[dict[str, Any]]:
    """One entry for each animal of each frame; `keypoints` holds x, y, score of each, `score` is their mean.

    Points of frames that do not decode are 0, 0 with the score 0: json has no nan, and evaluation takes a result with
    one for a perfect one. `image_id` counts rows of the table from 1, see `coco_images`.
    """
    results = []
    for row in range(len(table.names)):
        for instance in rows_to_write(table, row):
            known = table.status[row, instance] == OK
            scores = table.scores[row, instance].tolist()
            points = table.keypoints[row, instance].tolist() if known else [(0.0, 0.0)] * len(scores)
            results.append({
                "image_id": row + 1, "category_id": CATEGORY,
                "keypoints": [round(value, 3) if place < 2 else value
                              for (x, y), score in zip(points, scores, strict=True)
                              for place, value in enumerate((x, y, score))],
                "score": sum(scores) / max(len(scores), 1),
                "bbox": [round(float(edge), 3) for edge in extent(table, row, instance)]})
    return results


def coco_images(table: PredictionTable) -> dict[str, Any]:
    """The images and the category of `coco_results`. The frames of a video have its name as `file_name`, their number
    as `frame` and their time in seconds as `time`; what the status of a row is stands beside it."""
    images = []
    for row, name in enumerate(table.names):
        width, height = table.sizes[row].tolist()
        image: dict[str, Any] = {"id": row + 1, "file_name": name, "width": width, "height": height,
                                 "status": str(table.status[row, rows_to_write(table, row)[0]])}
        if table.is_video:
            image["frame"] = int(table.numbers[row])
            if table.times is not None:
                image["time"] = round(float(table.times[row]), 6)
        images.append(image)
    edges = [[first + 1, second + 1] for first, second in table.skeleton.edges]
    return {"images": images, "annotations": [], "categories": [
        {"id": CATEGORY, "name": "animal", "keypoints": list(table.skeleton.names), "skeleton": edges}]}
