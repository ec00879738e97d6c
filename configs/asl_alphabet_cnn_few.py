"""The ASL-alphabet baseline's small network on a few dozen images of each letter.

python -m aslx.prepare image_folder --source asl_alphabet_few --out data/few --size 100 \\
    --split stratified --validation 0 --cutouts
python -m aslx.train --config configs/asl_alphabet_cnn_few.py --workdir runs/few

Hardware and time: one core, half an hour. Accuracy: 0.959, the mean of five stratified splits of
174 test images each (0.937 to 0.966). The split flatters: all images are of one signer.

The same 656,733 parameters as asl_alphabet_cnn. So few images have to be shown in many ways: moved,
enlarged, turned, slanted and in other light; the hand is cut out and pasted elsewhere; and the
dense layer looks for it. There is no validation split to spare: the scores during training are
those of its own images, and the best loss of these is the last.
"""

from aslx import config, optim
from aslx.augment import image_augment
from aslx.data import plan
from aslx.inputs import image_features
from aslx.models import cnn
from aslx.tasks import classification


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(path="data/few", batching=plan.Fixed(rows=16), eval_split="train"),
        task=classification.Task(classes=29, best_by_loss=True),
        features=image_features.Image(
            height=100, width=100, size=100, local=12, std=(1.0, 1.0, 1.0), cutouts=True
        ),
        model=cnn.Config(dropout=0.1, margin=12, stride=5, scales=(0.8, 1.0, 1.25)),
        augmentation=image_augment.Images(
            shift=0.1,
            zoom=0.4,
            turn=15.0,
            shear=0.1,
            brightness=0.25,
            contrast=0.5,
            colour=0.2,
            gamma=0.6,
            paste=0.6,
        ),
        # Muon learns the kernels, Adam the rest.
        optim=optim.Config(peak_lr=1.5e-3, warmup=0.05, weight_decay=0.02, muon_lr=0.02),
        cached_rows=2,
        ema_decay=0.998,
        epochs=200,
        eval_every=50,
        save_every=4000,
    )
