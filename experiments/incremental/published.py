"""The numbers that are known of the paper (KAMP, arXiv 2503.20248), for `experiments.incremental`.

AAA, AT and MT in percent after the last step, A-MRE in millimetres (heads) and pixels (chests). Which keypoints and
pictures belong to which step is not published, so our splits differ and these numbers say the order of the rows only.
AAA of the rows `mpii`, but for joint, cpr and finetune, and AT of the method stand in the paper itself; the others come
from notes about it.
"""
AAA = {
    "mpii": {"joint": 88.50, "kamp": 79.93, "cpr": 75.52, "lwf": 75.75, "finetune": 37.41, "ksd_only": 76.93,
             "random_triples": 77.13, "ka_only": 54.46},
    "atrw": {"joint": 94.69, "kamp": 93.16, "cpr": 89.34, "lwf": 87.31, "finetune": 13.24},
    "low_shot": {"kamp": 77.97},
}
AT = {"mpii": {"kamp": 1.80, "cpr": -3.24, "lwf": -3.86, "ksd_only": -2.24, "random_triples": -0.48}}
MT = {"mpii": {"kamp": 4.23, "cpr": 0.75, "lwf": 0.41, "ksd_only": 0.65, "random_triples": 1.24}}
A_MRE = {
    "cephalometric": {"joint": 2.12, "kamp": 2.32, "cpr": 3.71, "lwf": 4.31, "finetune": 51.3},
    "chest": {"joint": 5.43, "kamp": 5.67, "cpr": 6.17, "lwf": 6.35, "finetune": 43.1},
}
LOW_SHOT_HEADS = {"kamp": {1: 4.35, 5: 3.70, 10: 3.03, 50: 2.32}}  # A-MRE by pictures in every later step
RSN_MPII = 81.45  # AAA of the method with RSN in place of HRNet
ASSOCIATION_MPII = (67.36, 64.39)  # KA-Net and the old model on the old keypoint of the first triple


def paper_numbers(preset: str, variant: str) -> dict[str, float]:
    """What is known of a row, by metric."""
    tables = {"aaa": AAA, "at": AT, "mt": MT, "a_mre": A_MRE}
    return {name: table[preset][variant] for name, table in tables.items() if variant in table.get(preset, {})}
