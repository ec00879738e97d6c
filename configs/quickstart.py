"""A first run, for two cores and four minutes: what `make train` trains.

python -m aslx.train --config configs/quickstart.py --workdir runs/quickstart

Time is stretched or pressed into 96 frames, so that every clip costs the same, and CTC reads the
text off the encoder: an autoregressive decoder would need some thousands of steps to learn where to
look.
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
