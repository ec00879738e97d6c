"""A network with a state, of the competition's size: it reads a hand while it spells.

python -m aslx.train --config configs/streaming.py --workdir runs/streaming \\
    --data.path data/fingerspelling

Hardware and time: made for accelerators; neither its time nor its score has been measured.

`streaming_small`'s blocks, wider and twice as deep, under a transducer's head: a character depends
on the frames and on the two characters before it.
"""

from aslx import config, optim
from aslx.augment import clip_augment, input_dropout
from aslx.data import plan
from aslx.inputs import streaming_features
from aslx.models import streaming
from aslx.tasks import transcription, transducer

FEATURES = streaming_features.Streaming()
AUGMENTATION = clip_augment.Clips(
    warp=clip_augment.Resample(rate=0.3, windows=5),
    affine=clip_augment.Affine(rate=0.75),
    noise=clip_augment.Noise(rate=0.3),
    time_mask=input_dropout.TimeMask(rate=0.5),
    point_mask=input_dropout.PointMask(rate=0.3),
    finger_drop=input_dropout.FingerDrop(rate=0.3),
)


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(batching=plan.Bucketed(frames=32768, buckets=10, cap=384)),
        task=transcription.Task(head=transducer.Transducer()),
        features=FEATURES,
        augmentation=AUGMENTATION,
        model=streaming.Config(
            groups=FEATURES.groups,
            dim=256,
            num_layers=12,
            context=2,
            dtype="bfloat16",
        ),
        optim=optim.Config(peak_lr=1e-3, weight_decay=0.05),
        epochs=200,
        ema_decay=0.999,
    )
