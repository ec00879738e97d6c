"""An LSTM encoder-decoder of today: two directions, attention, CTC beside the decoder.

python -m aslx.train --config configs/fingerspelling_lstm_attention.py --workdir runs/lstm_attention

Hardware and time: two cores took 478 ms a step of 110 clips when it was last timed. No training and
no score has been measured. 2,909,562 parameters.
"""

from aslx import config, optim
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import lstm
from aslx.tasks import heads, transcription


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(batching=plan.Bucketed(frames=16384, buckets=8)),
        task=transcription.Task(head=heads.Autoregressive(ctc_weight=0.3)),
        features=phrase_features.Modern(max_frames=256),
        model=lstm.Config(ctc=True),
        optim=optim.Config(peak_lr=2e-3),
        epochs=30,
        ema_decay=0.999,
    )
