"""The competition's size of the Squeezeformer: what an entrant would start from.

python -m aslx.train --config configs/squeezeformer.py --workdir runs/squeezeformer \\
    --data.path data/fingerspelling

Hardware and time: made for accelerators; neither its time nor its score has been measured. Compiled
for 256 TPU v5e chips, a step of 88 clips a chip takes 16.6 ms at least and 2.3 GiB a chip. The
exported file reads a clip of 148 frames in 14 to 23 ms of one core.

The network of the first place (Henkel and Hanley 2023) on widths that accelerators like: 13 million
parameters.
"""

from aslx import config, optim
from aslx.augment import clip_augment, cutmix, input_dropout
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import squeezeformer
from aslx.tasks import heads, transcription

FEATURES = phrase_features.Modern(
    parts=("right_hand", "left_hand", "pose", "face"), max_frames=384, only_hands=False
)
AUGMENTATION = clip_augment.Clips(
    cutmix=cutmix.CutMix(rate=0.3),
    resample=clip_augment.Resample(rate=0.8),
    warp=clip_augment.Resample(rate=0.3, windows=5),
    affine=clip_augment.Affine(rate=0.75),
    noise=clip_augment.Noise(rate=0.3),
    tokens=clip_augment.TokenMask(rate=0.5),
    time_mask=input_dropout.TimeMask(rate=0.5),
    point_mask=input_dropout.PointMask(rate=0.3),
    finger_drop=input_dropout.FingerDrop(rate=0.3),
    face_drop=input_dropout.PartDrop(rate=0.3),
    pose_drop=input_dropout.PartDrop(rate=0.3, parts=("pose",)),
)


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(batching=plan.Bucketed(frames=32768, buckets=10, cap=384)),
        task=transcription.Task(head=heads.Autoregressive(ctc_weight=0.3)),
        features=FEATURES,
        augmentation=AUGMENTATION,
        model=squeezeformer.Config(
            groups=FEATURES.groups,
            dim=256,
            num_layers=12,
            halve_after=6,
            num_heads=4,
            decoder_layers=2,
            stride=2,
            remat=True,
            dtype="bfloat16",
        ),
        optim=optim.Config(peak_lr=1e-3, weight_decay=0.05),
        epochs=200,
        ema_decay=0.999,
    )
