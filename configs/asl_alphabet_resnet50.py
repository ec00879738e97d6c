"""The published ASL-alphabet baseline's ResNet50: 29 classes, 26,752,541 parameters trained.

python -m aslx.prepare image_folder --source asl_alphabet_train --out data/asl_alphabet_224 \\
    --size 224
python -m aslx.train --config configs/asl_alphabet_resnet50.py --workdir runs/asl_alphabet_resnet50

Hardware and time: two cores, 0.84 s a step of 32 images. Accuracy: 0.575 to 0.690 in four runs on
174 images of a sample (each +- 0.07), where a logistic regression has 0.28.

Images are 224 x 224. All but the last four layers are frozen (Keras counts conv5_block3_3_conv, its
norm, the sum and its relu); two dense layers read all positions.
"""

from aslx import config, optim, sharding
from aslx.augment import image_augment
from aslx.data import plan
from aslx.inputs import image_features
from aslx.models import resnet
from aslx.tasks import classification


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/asl_alphabet_224", batching=plan.Fixed(rows=32)),
        task=classification.Task(classes=29),
        features=image_features.Image(height=224, width=224, size=224, **image_features.CAFFE),
        model=resnet.Config(flatten=True, dense=(256,), linear=True, dropout=0.5),
        augmentation=image_augment.Images(shift=0.1, zoom=0.1, brightness=0.1, contrast=0.1),
        weights="data/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        # Its products are so large that two cores share one better than each has its own.
        mesh=sharding.Config(cpu_devices=1),
        # Keras' Adam.
        optim=optim.Config(
            peak_lr=1e-4, warmup=0.0, cosine=False, weight_decay=0.0, clip_norm=0.0, eps=1e-7
        ),
        epochs=10,
    )
