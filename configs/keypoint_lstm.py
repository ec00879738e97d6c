"""The published keypoint baseline (ngzhili, LSTM_Keypoint_Sign_Language_Detector), 6 classes.

python -m aslx.prepare keypoint_clips --source MP_Data --out data/keypoint_clips
python -m aslx.train --config configs/keypoint_lstm.py --workdir runs/keypoint_lstm

Hardware and time: one core, half a minute for a split of 240 clips; 11 ms a step on two. Accuracy:
0.979 and 0.988 in two runs of five stratified splits of 48 test clips each.

596,774 parameters. Its variants: --model.dropout 0.2; --features.no-face (258 values a frame);
--model.units 64; --task.classes 5 (596,741 parameters).
"""

from aslx import config, optim, sharding
from aslx.data import plan
from aslx.inputs import clip_features
from aslx.models import keypoints
from aslx.tasks import classification


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/keypoint_clips", batching=plan.Fixed(rows=32)),
        task=classification.Task(classes=6, best_by_loss=True),
        features=clip_features.Keypoints(),
        model=keypoints.Config(),
        # Products of 1,662 columns are shared by two cores better than divided, and updated once.
        mesh=sharding.Config(cpu_devices=1),
        # Keras' Adam, tamed: through 30 steps of relu gradients explode, and without clipping and a
        # first rise the loss went to 400. Half its rate, and an average, so that the validation
        # loss of a few clips falls evenly enough for the patience of 20 epochs.
        optim=optim.Config(
            peak_lr=5e-4, warmup=0.02, cosine=False, weight_decay=0.0, clip_norm=1.0, eps=1e-7
        ),
        ema_decay=0.98,
        epochs=500,
        patience=20,
        save_every=10_000,
    )
