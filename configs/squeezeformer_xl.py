"""A Squeezeformer for more data than FSboard's 151,000 phrases.

python -m aslx.train --config configs/squeezeformer_xl.py --workdir runs/squeezeformer_xl \\
    --data.path data/fingerspelling --mesh.fsdp 8

Hardware and time: made for eight chips or more, over which `--mesh.fsdp` splits the parameters;
neither its time nor its score has been measured. Compiled for 16 TPU v5e chips, a step of 40 clips
a chip takes 52 ms at least and 4.0 GiB a chip. 315 million parameters.
"""

from aslx import config, optim
from aslx.augment import clip_augment, input_dropout
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import squeezeformer
from aslx.tasks import heads, transcription

FEATURES = phrase_features.Modern(
    parts=("right_hand", "left_hand", "pose", "face"), max_frames=384, only_hands=False
)
AUGMENTATION = clip_augment.Clips(
    resample=clip_augment.Resample(rate=0.5, by=0.3),
    affine=clip_augment.Affine(rate=0.5),
    tokens=clip_augment.TokenMask(rate=0.3),
    time_mask=input_dropout.TimeMask(rate=0.3),
    finger_drop=input_dropout.FingerDrop(rate=0.2),
)


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(batching=plan.Bucketed(frames=262144, buckets=10, multiple=16, cap=384)),
        task=transcription.Task(head=heads.Autoregressive(ctc_weight=0.3)),
        features=FEATURES,
        augmentation=AUGMENTATION,
        model=squeezeformer.Config(
            groups=FEATURES.groups,
            dim=1024,
            num_layers=20,
            halve_after=8,
            num_heads=16,
            decoder_layers=1,
            stride=2,
            remat=True,
            dtype="bfloat16",
        ),
        optim=optim.Config(peak_lr=3e-4, weight_decay=0.05),
        epochs=60,
        ema_decay=0.9995,
    )
