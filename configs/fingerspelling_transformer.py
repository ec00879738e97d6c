"""The published transformer baseline (coriegee, ASLRecognitionModel, 2023): 4,132,062 parameters.

python -m aslx.train --config configs/fingerspelling_transformer.py \\
    --workdir runs/fingerspelling_transformer

Hardware and time: two cores, 0.58 s a step of 64 clips; six minutes are some 470 steps. Score:
0.495 on the synthetic test split after its nine epochs (0.482 to 0.508).
"""

from aslx import config, optim
from aslx.data import plan
from aslx.inputs import phrase_features
from aslx.models import fingerspelling_transformer
from aslx.tasks import heads, transcription


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(batching=plan.Fixed(rows=64)),
        task=transcription.Task(
            head=heads.Autoregressive(label_smoothing=0.1, mean_over_pads=True),
            max_tokens=62,
        ),
        features=phrase_features.Baseline(),
        model=fingerspelling_transformer.Config(),
        # Keras' Adam.
        optim=optim.Config(
            peak_lr=1e-4, warmup=0.0, cosine=False, weight_decay=0.0, clip_norm=0.0, eps=1e-7
        ),
        epochs=9,
        eval_every=3,
    )
