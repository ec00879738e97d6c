"""A first run, for two cores and four minutes: what `make train` trains.

python -m aslx.train --config configs/quickstart.py --workdir runs/quickstart

Hardware and time: two cores, six epochs of generator 1.0.0's clips in 100 s; with download, data,
scoring and export 3 min 25 s on fast cores, 9 minutes on slower ones. Generator 2.0.0, which `make
train` takes, has twice as many clips. Score: 0.854 on the synthetic test split of 1.0.0 (0.841 to
0.866), 0.859 with 8 beams; 0.88 on that of 2.0.0.

Every clip is stretched or pressed into 96 frames, so every clip costs the same, and CTC reads the
text off the encoder: an autoregressive decoder would need some thousands of steps to learn where
to look.
"""

from aslx import config, optim
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import transformer
from aslx.tasks import heads, transcription


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/synthetic", batching=plan.Bucketed(frames=12288, buckets=2)),
        task=transcription.Task(head=heads.CTC()),
        features=phrase_features.Modern(min_frames=96, max_frames=96),
        model=transformer.Config(
            dim=128, num_layers=4, num_heads=2, decoder_layers=0, ctc=True, stride=2, kernel=0
        ),
        optim=optim.Config(peak_lr=2e-3),
        epochs=6,
        eval_every=2,
        ema_decay=0.99,
    )
