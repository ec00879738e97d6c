"""Isolated signs, after the first place of Google's competition (2023): 1.8 M parameters.

python -m aslx.prepare isolated_signs --source asl-signs --out data/isolated_signs
python -m aslx.train --config configs/isolated_signs.py --workdir runs/isolated_signs

Hardware and time: made for an accelerator; its time on Kaggle's whole set has not been measured.
Score: on a sample of two signs 0.938 (0.81 to 1), 16 clips of 4 signers held out, with
--task.classes 2 --data.batching.frames 2048 --epochs 12 --ema-decay 0.9.

Validation and test hold signers whom training never saw. The export takes f32[n, 543, 3], gives 250
scores, and is in a submission.zip.
"""

from aslx import config, optim
from aslx.data import plan
from aslx.inputs import clip_features
from aslx.models import signs
from aslx.tasks import classification


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(
            path="data/isolated_signs", batching=plan.Bucketed(frames=16384, buckets=4)
        ),
        task=classification.Task(classes=250, label_smoothing=0.1),
        features=clip_features.Signs(),
        model=signs.Config(),
        optim=optim.Config(peak_lr=2e-3, weight_decay=0.05),
        epochs=100,
        ema_decay=0.999,
    )
