"""The reader of people's hands, trained on synthetic ones alone.

python -m aslx.prepare synthetic --out data/reader --sequences 48000 --generator 2.0.0 \\
    --texts spelled --whole-hands --selection hands_arms
python -m aslx.train --config configs/reader.py --workdir runs/reader

Hardware and time: two slow cores of an Intel Xeon, three epochs (1,980 steps) in 48 minutes. Score:
0.896 on the synthetic validation split (0.890 to 0.902); of two people's phrases, never seen, 0.76.

Short clips are stretched to 96 frames and long ones pressed into 160: a camera's rate and a
signer's speed say little about a letter. CTC reads the text off the encoder.
"""

from aslx import config, optim
from aslx.augment import clip_augment, input_dropout
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import squeezeformer
from aslx.tasks import heads, transcription

FEATURES = phrase_features.Modern(min_frames=96, max_frames=160)
AUGMENTATION = clip_augment.Clips(
    resample=clip_augment.Resample(rate=0.5),
    affine=clip_augment.Affine(rate=0.5),
    noise=clip_augment.Noise(rate=0.3),
    finger_drop=input_dropout.FingerDrop(rate=0.2),
)


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/reader", batching=plan.Bucketed(frames=12288, buckets=3)),
        task=transcription.Task(head=heads.CTC()),
        features=FEATURES,
        augmentation=AUGMENTATION,
        model=squeezeformer.Config(
            groups=FEATURES.groups,
            dim=192,
            num_layers=4,
            halve_after=0,
            num_heads=3,
            decoder_layers=0,
            kernel=15,
            stride=2,
        ),
        optim=optim.Config(peak_lr=2e-3),
        epochs=3,
        eval_every=3,
        ema_decay=0.998,
    )
