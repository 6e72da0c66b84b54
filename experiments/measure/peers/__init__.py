"""DeepLabCut and Lightning Pose beside kpjax: the same images, split and labels, about the same
seconds on one machine.

The peers live in environments of their own and import nothing of kpjax; what they train and predict
comes back as a file that `score` reads.

Commands   python -m experiments.measure.peers prepare openfield --labelled 10 --subset 0 --out mouse10
           python -m venv dlc && dlc/bin/pip install deeplabcut==3.0.2
           dlc/bin/python experiments/measure/peers/programs/deeplabcut_run.py mouse10 --seconds 300
           --weights FILE python -m venv lp && lp/bin/pip install lightning-pose==2.4.3
           lp/bin/python experiments/measure/peers/programs/lightning_pose_run.py mouse10 --seconds
           300 --weights FILE python -m experiments.measure.peers score mouse10 --runs
           runs/semi_supervised/openfield/supervised/seed-0 \
               --room experiments/measure/peers

Neither peer's own weights are needed: both start from one file of MobileNetV2
(`mobilenet_v2.google_in1k` of `kpjax.models.weights.pretrained`, under torchvision's names).
Lightning Pose requires DALI, which its supervised part on a CPU never imports: where it cannot be
had, `uv pip install --override` with the line `nvidia-dali-cuda110; sys_platform == 'never'`.
"""
