"""The published ASL-alphabet baseline's small network: 656,733 parameters, 29 classes.

python -m aslx.prepare image_folder --source asl_alphabet_train --out data/asl_alphabet --size 100
python -m aslx.train --config configs/asl_alphabet_cnn.py --workdir runs/asl_alphabet_cnn

Hardware and time: two cores, 117 ms a step of 32 images. Its accuracy on Kaggle's whole set has not
been measured; asl_alphabet_cnn_few.py has that of a sample.

Images are 100 x 100. Kaggle's 87,000 images are frames of one signer's films: neighbours fall into
different parts of a random split, which flatters every score on it.
"""

from aslx import config, optim
from aslx.augment import image_augment
from aslx.data import plan
from aslx.inputs import image_features
from aslx.models import cnn
from aslx.tasks import classification


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/asl_alphabet", batching=plan.Fixed(rows=32)),
        task=classification.Task(classes=29),
        features=image_features.Image(height=100, width=100, size=100),
        model=cnn.Config(),
        augmentation=image_augment.Images(shift=0.1, zoom=0.1, brightness=0.1, contrast=0.1),
        # Keras' Adam.
        optim=optim.Config(
            peak_lr=1e-3, warmup=0.0, cosine=False, weight_decay=0.0, clip_norm=0.0, eps=1e-7
        ),
        cached_rows=1,
        epochs=40,
    )
