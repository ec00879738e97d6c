"""The published LSTM baseline (adish007, ASL-Fingerspelling-using-LSTM, 2023): 74,562 parameters.

python -m aslx.train --config configs/fingerspelling_lstm.py --workdir runs/fingerspelling_lstm

Hardware and time: two cores, 16.5 ms a step of 64 clips; six minutes are some 8,000 steps. Score:
0.159 on the synthetic test split after its 20 epochs (0.150 to 0.169).

It encodes 128 frames into one vector and reads 64 characters out of it, with pads counted in the
loss: it learns to spell addresses in general, and not the one that was signed.
"""

from aslx import config, optim
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import fingerspelling_lstm
from aslx.tasks import heads, transcription


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(batching=plan.Fixed(rows=64)),
        task=transcription.Task(head=heads.PerPosition(), max_tokens=62),
        features=phrase_features.Baseline(),
        model=fingerspelling_lstm.Config(),
        # Keras' "adam".
        optim=optim.Config(
            peak_lr=1e-3, warmup=0.0, cosine=False, weight_decay=0.0, clip_norm=0.0, eps=1e-7
        ),
        epochs=20,
        eval_every=4,
    )
