"""Tables of supervised learning's measured numbers, as `experiments.engine.pages` renders them. One seed: no plot."""
from experiments.engine.pages import Column, Row, Table, on_former_split

HEADLINE = on_former_split(Table("openfield", (Row("heatmap KL", "supervised"), Row("heatmap MSE", "supervised_mse")), (
    Column("PCK at 10 % of the body's diagonal, %", "test/pck", 100),
    Column("mean distance, px of 640 x 480", "test/distance")), "mouse, 80 training images"))
FACES = on_former_split(Table("faces", [Row(title, "supervised", settings) for title, settings in (
    ("arg-max", {"decoder": "argmax"}), ("quarter offset", {"decoder": "quarter"}),
    ("soft-arg-max", {"decoder": "soft_argmax"}), ("DARK (the preset)", {}))], (
        Column("validation, % of the distance between the eyes", "validation/nme", 100),
        Column("test, %", "test/nme", 100)), "faces, 220 training images"))
