"""The published Sign Language MNIST baseline (NoobML), without its flips.

python -m aslx.prepare sign_mnist --source sign-language-mnist --out data/sign_mnist --test 0
python -m aslx.train --config configs/sign_mnist_resnet50_upright.py --workdir runs/upright

Hardware and time: two cores, as sign_mnist_resnet50.py. Accuracy: 0.767 (0.69 to 0.84) on 116
images of a sample, with --optim.peak-lr 3e-4 --epochs 40 --data.batching.rows 64, where a logistic
regression has 0.733. Kaggle's whole set has not been trained on.

As sign_mnist_resnet50.py (3,690,008 parameters), but a mirrored letter is another hand, and an
upside-down one may be another letter.
"""

from aslx import config, optim, sharding
from aslx.augment import image_augment
from aslx.data import plan
from aslx.inputs import image_features
from aslx.models import resnet
from aslx.tasks import classification


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/sign_mnist", batching=plan.Fixed(rows=256)),
        task=classification.Task(classes=24, l2=0.001),
        features=image_features.Image(
            height=28, width=28, channels=1, size=32, **image_features.CAFFE
        ),
        model=resnet.Config(dense=(1024, 512)),
        augmentation=image_augment.Images(brightness=0.1, contrast=0.1),
        weights="data/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        # Its products are so large that two cores share one better than each has its own.
        mesh=sharding.Config(cpu_devices=1),
        # Keras' Adam.
        optim=optim.Config(
            peak_lr=1e-5,
            warmup=0.0,
            cosine=False,
            decay=1.0,
            weight_decay=0.0,
            clip_norm=0.0,
            eps=1e-7,
        ),
        epochs=50,
    )
