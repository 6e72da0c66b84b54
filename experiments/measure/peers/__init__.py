"""DeepLabCut, Lightning Pose and sleap-nn beside kpjax: the same labelled frames of a project, the
same frames that test, each tool as it chooses for itself.

The tools live in environments of their own and import nothing of kpjax; what they train and predict
comes back as a file that `score` reads.

Commands   python -m experiments.own.default mirror_mouse=PROJECT --labelled 10 --seeds 1 --workdir .
           mv mirror_mouse-10-0 mouse10
           PROGRAM=experiments/measure/peers/programs
           python -m venv dlc && dlc/bin/pip install deeplabcut==3.0.2
           dlc/bin/python $PROGRAM/deeplabcut_run.py mouse10 --weights FILE
           python -m venv lp && lp/bin/pip install lightning-pose==2.4.3
           lp/bin/python $PROGRAM/lightning_pose_run.py mouse10 --weights FILE
           python -m venv sleap && sleap/bin/pip install sleap-nn==0.3.5
           sleap/bin/python $PROGRAM/sleap_nn_run.py mouse10
           python -m experiments.measure.peers score mouse10 --room experiments/measure/peers

The first command prepares the frames and trains kpjax as a user would, from its own weights and from
random ones, which sleap-nn learns from, too; `prepare` alone makes such a folder. The others start from
one file of MobileNetV2 (`mobilenet_v2.google_in1k` of `kpjax.models.weights.pretrained`, under
torchvision's names), in place of weights of their own.
--seconds caps the training of the other tools (600 in the tables): epochs of DeepLabCut and
Lightning Pose are those that fit by a trial of four, so that trainings end somewhat before or after
it; schedules of the rate are shortened with them. --every thins a video that is labelled throughout;
--top-view answers what Lightning Pose and sleap-nn ask about the camera. What is not a tool's own
choice:
- DeepLabCut: MobileNetV2 without its last convolution and with dilated last blocks in place of
  ResNet-50, at the latter's rates; statistics of BatchNorm are trained. Both learnt a mouse in a
  mirror faster. Crops are no larger than the images, which it else pads with black. It is evaluated
  twenty times a training, however short.
- Lightning Pose: its supervised part, with all of MobileNetV2's convolutions, with which it found
  more of that mouse's points, in place of the recommended backbone, and the rate and the optimizer
  that it recommends for networks that convolve.
- sleap-nn: the pipeline of one animal, images of more than 256 px at half their size, and a timer
  that ends the training.
Lightning Pose requires DALI, which its supervised part on a CPU never imports: where it cannot be
had, `uv pip install --override` with the line `nvidia-dali-cuda110; sys_platform == 'never'`.
"""
