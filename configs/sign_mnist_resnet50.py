"""The published Sign Language MNIST baseline (NoobML, asl-sign-language-translator).

python -m aslx.prepare sign_mnist --source sign-language-mnist --out data/sign_mnist --test 0
python -m aslx.train --config configs/sign_mnist_resnet50.py --workdir runs/sign_mnist_resnet50

Hardware and time: two cores, 137 ms a step of 256 images. Accuracy: 0.741 (0.66 to 0.82) on 116
images of a sample, with --optim.peak-lr 3e-4 --epochs 400 --data.batching.rows 64, where a logistic
regression has 0.733. Kaggle's whole set has not been trained on.

ResNet50 on ImageNet's weights (Keras' own .h5, see `weights`), trained from conv5_block3_3_conv on:
3,690,008 parameters. The rate is divided by 1 + decay x the share of the training that is done: the
baseline does not tell its own decay.
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
        augmentation=image_augment.Images(
            flip_horizontal=True, flip_vertical=True, brightness=0.1, contrast=0.1
        ),
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
