"""squeezeformer_small's encoder, pretrained on landmarks without their texts.

python -m aslx.train --config configs/squeezeformer_small_pretrain.py --workdir runs/pretrained
python -m aslx.train --config configs/squeezeformer_small.py --workdir runs/tuned \\
    --weights runs/pretrained

A third of the frames is hidden, in spans of about a character; of all, which of 256 codes they have
is guessed, and alike hands have the same.
"""

from aslx import config, optim
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import squeezeformer
from aslx.tasks import pretraining

FEATURES = phrase_features.Modern(min_frames=96, max_frames=96)


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/synthetic", batching=plan.Bucketed(frames=12288, buckets=2)),
        task=pretraining.Task(),
        features=FEATURES,
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
        epochs=4,
        eval_every=4,
        ema_decay=0.99,
    )
