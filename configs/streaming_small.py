"""A network with a state: it reads a hand while it spells.

python -m aslx.prepare synthetic --out data/streaming --sequences 9000 --whole-hands \\
    --generator 2.0.0 --fps 30
python -m aslx.train --config configs/streaming_small.py --workdir runs/streaming_small

A character is final once it is written. It waits for at most seven later frames, and the work of a
frame does not grow with the stream. CTC reads the text off the encoder.
"""

from aslx import config, optim
from aslx.data import plan
from aslx.inputs import streaming_features
from aslx.models import streaming
from aslx.tasks import heads, transcription

FEATURES = streaming_features.Streaming()


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/streaming", batching=plan.Bucketed(frames=12288, buckets=3)),
        task=transcription.Task(head=heads.CTC()),
        features=FEATURES,
        model=streaming.Config(
            groups=FEATURES.groups,
            dim=192,
            num_layers=4,
            num_heads=3,
        ),
        optim=optim.Config(peak_lr=2e-3),
        epochs=4,
        eval_every=4,
        ema_decay=0.99,
    )
