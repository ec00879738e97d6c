"""Pretrained weights: the network computes what its published original does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors import numpy as safetensors_numpy

from aslx import config, errors, optim, sharding
from aslx.inputs import image_features
from aslx.models import resnet
from aslx.runs import initial_weights, partition
from aslx.train import setup
from tests import tiny, tiny_runs

H5 = "resnet50_imagenet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


def network(**changes) -> resnet.ResNet:
    cfg = resnet.Config(dense=(), **changes)
    return jax.jit(lambda: cfg.build((64, 64, 3), 5, rngs=nnx.Rngs(0)))()


@pytest.mark.slow
def test_keras_weights_give_the_features_of_keras(shared):
    import keras

    path = str(shared / H5)
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    images = np.asarray(jax.image.resize(coarse, (2, 64, 64, 3), "bilinear"))
    theirs = keras.applications.ResNet50(include_top=False, weights=path, input_shape=(64, 64, 3))
    expected = theirs(keras.applications.resnet50.preprocess_input(images.copy()))
    whole, unused = initial_weights.into(network(), path)
    assert not unused
    features = image_features.Image(height=64, width=64, size=64, **image_features.CAFFE)
    found = jax.jit(whole.trunk)(features(jnp.asarray(images))[0])
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-3)


def torch_weights(rng) -> dict[str, np.ndarray]:
    """Random weights of a ResNet50 under the names that torchvision and timm give them."""
    out = {"conv1.weight": rng.normal(size=(64, 3, 7, 7)) / 12, "fc.weight": np.ones((5, 2048))}

    def norm(name, n):
        out[f"{name}.weight"], out[f"{name}.bias"] = rng.uniform(0.5, 1.5, n), rng.normal(size=n)
        out[f"{name}.running_mean"] = rng.normal(size=n) / 4
        out[f"{name}.running_var"] = rng.uniform(0.5, 1.5, n)
        out[f"{name}.num_batches_tracked"] = np.array(7.0)

    norm("bn1", 64)
    channels = 64
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            shapes = [(width, channels, 1), (width, width, 3), (4 * width, width, 1)]
            for i, (o, c, k) in enumerate(shapes, 1):
                out[f"{at}.conv{i}.weight"] = rng.normal(size=(o, c, k, k)) / (k * np.sqrt(c))
                norm(f"{at}.bn{i}", o)
            if block == 0:
                shape = (4 * width, channels, 1, 1)
                out[f"{at}.downsample.0.weight"] = rng.normal(size=shape) / np.sqrt(channels)
                norm(f"{at}.downsample.1", 4 * width)
            channels = 4 * width
    return {name: array.astype(np.float32) for name, array in out.items()}


def torch_forward(w: dict, x: jax.Array) -> jax.Array:
    """torchvision.models.resnet50 without its last layer, NCHW, transcribed from its source."""

    def conv(x, name, stride, pad):
        numbers = ("NCHW", "OIHW", "NCHW")
        weight = w[f"{name}.weight"]
        return jax.lax.conv_general_dilated(
            x, weight, (stride, stride), [(pad, pad)] * 2, dimension_numbers=numbers
        )

    def norm(x, name):
        mean, var, g, b = (
            w[f"{name}.{leaf}"][:, None, None]
            for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / jnp.sqrt(var + 1e-5) * g + b

    x = jax.nn.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    pads = [(0, 0), (0, 0), (1, 1), (1, 1)]
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), pads)
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = jax.nn.relu(norm(conv(x, f"{at}.conv1", 1, 0), f"{at}.bn1"))
            y = jax.nn.relu(norm(conv(y, f"{at}.conv2", stride, 1), f"{at}.bn2"))
            y = norm(conv(y, f"{at}.conv3", 1, 0), f"{at}.bn3")
            if block == 0:
                x = norm(conv(x, f"{at}.downsample.0", stride, 0), f"{at}.downsample.1")
            x = jax.nn.relu(x + y)
    return x.transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet50.safetensors"
    safetensors_numpy.save_file(torch_weights(np.random.default_rng(0)), path)
    return path


@pytest.mark.slow
def test_torchvision_weights_give_the_features_of_torchvision(torch_file):
    w = safetensors_numpy.load_file(torch_file)
    image = np.random.default_rng(1).normal(size=(1, 64, 64, 3)).astype(np.float32)
    whole, unused = initial_weights.into(network(torch=True), str(torch_file))
    assert "fc.weight" in unused
    assert all(name == "fc.weight" or "num_batches_tracked" in name for name in unused)
    expected = jax.jit(functools.partial(torch_forward, w))(image.transpose(0, 3, 1, 2))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(jax.jit(whole.trunk)(image) / scale, expected / scale, atol=1e-5)


def test_a_missing_weight_or_one_of_another_shape_is_named(torch_file, tmp_path):
    weights = safetensors_numpy.load_file(torch_file)
    model = network(torch=True)
    wrong = weights | {"layer2.1.conv2.weight": np.zeros((8, 8, 3, 3), np.float32)}
    safetensors_numpy.save_file(wrong, tmp_path / "wrong.safetensors")
    del weights["layer4.2.bn3.bias"]
    safetensors_numpy.save_file(weights, tmp_path / "less.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(torch_file.read_bytes()[:1000])
    (tmp_path / "torch.pth").write_bytes(b"PK\x03\x04" + bytes(99))
    for name, words in (
        ("wrong.safetensors", r"conv3_block2_2_conv/bias is \(8,\)"),
        ("less.safetensors", "no weight for conv5_block3_3_bn/beta"),
        ("cut.safetensors", "no whole"),
        ("none.h5", r"there is no file .*notop\.h5 \(MD5 4d473c1d"),
        ("torch.pth", "may be a pickle"),
    ):
        with pytest.raises(errors.BadInput, match=words):
            initial_weights.into(model, str(tmp_path / name))


@pytest.fixture
def toy():
    """A network whose trunk has one kernel."""
    return nnx.Dict(trunk=nnx.Dict(conv=nnx.Dict(kernel=nnx.Param(jnp.zeros((2, 3))))))


def hdf5(path, fill) -> str:
    import h5py

    with h5py.File(path, "w") as f:
        fill(h5py, f)
    return str(path)


def test_a_weights_file_cannot_refer_to_other_files(toy, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(6, dtype="<f4").tobytes())
    whole = hdf5(tmp_path / "whole.h5", lambda h, f: f.create_dataset("conv/kernel", (2, 3), "f4"))
    found, unused = initial_weights.into(toy, whole)
    assert not unused and not np.asarray(jax.tree.leaves(found)[0]).any()

    def outside(h5py, f):
        f.create_dataset("conv/kernel", (2, 3), "f4", external=[(str(secret), 0, 24)])

    def linked(h5py, f):
        f["conv/kernel"] = h5py.ExternalLink(whole, "/conv/kernel")

    def soft(h5py, f):
        f.create_dataset("a/kernel", (2, 3), "f4")
        f["conv"] = h5py.SoftLink("/a")

    def virtual(h5py, f):
        layout = h5py.VirtualLayout((2, 3), "f4")
        layout[:] = h5py.VirtualSource(whole, "conv/kernel", (2, 3))
        f.create_virtual_dataset("conv/kernel", layout)

    for name, fill, words in (
        ("external", outside, "lies in another file"),
        ("virtual", virtual, "lies in another file"),
        ("linked", linked, "conv/kernel is a link"),
        ("soft", soft, "/conv is a link"),
    ):
        with pytest.raises(errors.BadInput, match=words):
            initial_weights.into(toy, hdf5(tmp_path / f"{name}.h5", fill))


def test_a_weight_of_a_vast_claimed_size_is_refused_before_it_is_read(toy, tmp_path):
    def vast(h5py, f):
        for name in ("conv/kernel", "more/kernel"):
            f.create_dataset(name, (2**20, 2**20), "f4", chunks=(64, 64))

    with pytest.raises(errors.BadInput, match=r"conv/kernel is \(1048576, 1048576\)"):
        initial_weights.into(toy, hdf5(tmp_path / "vast.h5", vast))
    text = np.full((2, 3), b"abc")
    words = hdf5(tmp_path / "words.h5", lambda h, f: f.create_dataset("conv/kernel", data=text))
    with pytest.raises(errors.BadInput, match="floats are wanted"):
        initial_weights.into(toy, words)
    head = b'{"conv.weight":{"dtype":"F32","shape":[1048576,1048576],"data_offsets":[0,8]}}'
    path = tmp_path / "vast.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    with pytest.raises(errors.BadInput, match="no whole"):
        initial_weights.into(toy, str(path))


def test_damaged_weights_are_read_or_refused_with_one_line(toy, tmp_path):
    rng, path, ones = np.random.default_rng(0), tmp_path / "x.h5", np.ones((2, 3), "f4")
    hdf5(path, lambda h, f: f.create_dataset("conv/kernel", data=ones))
    for raw in (path.read_bytes(), safetensors_numpy.save({"conv/kernel": ones})):
        for _ in range(300):
            data = bytearray(raw[: rng.integers(1, len(raw))] if rng.random() < 0.2 else raw)
            for _ in range(rng.integers(1, 5)):
                data[rng.integers(0, len(data))] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                initial_weights.into(toy, str(path))
            except errors.BadInput as error:
                assert "\n" not in str(error)


@pytest.mark.long
def test_frozen_and_trained_weights_make_up_the_whole():
    trained, frozen = partition.split_frozen(network())
    names = {"conv5_block3_3_conv", "conv5_block3_3_bn"}
    trunk = vars(trained)["trunk"]
    parts = {k: v for k, v in vars(trunk).items() if isinstance(v, nnx.Module)}
    assert {k for k, v in parts.items() if jax.tree.leaves(v)} == names
    assert len(jax.tree.leaves(frozen)) == 2 * 53 + 4 * 53 - 4
    whole = partition.merge_frozen(trained, frozen)
    same = jax.tree.map(np.array_equal, whole, network())
    assert all(jax.tree.leaves(same))
    mesh = sharding.make_mesh(sharding.Config(fsdp=8))
    assert jax.tree.leaves(sharding.place(mesh, jax.eval_shape(lambda: frozen)))


def test_frozen_weights_have_no_moments_and_no_average():
    cfg = config.load("sign_mnist_resnet50", ["--ema-decay", "0.9"])
    mesh = sharding.make_mesh(sharding.Config())
    state, _ = setup.state(cfg, mesh, optim.build(cfg.optim, 10))
    size = {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in vars(state).items()}
    assert size["model"] == size["ema"] == 3_690_008 and size["frozen"] == 22_532_992
    assert 0 < size["opt_state"] - 2 * 3_690_008 < 10  # Two moments, and counters.


def test_a_run_all_of_whose_weights_are_taken_causes_no_warning(tmp_path, caplog):
    cfg = tiny.cfg(tmp_path)
    workdir = tiny_runs.untrained(cfg, tmp_path / "run")
    initial_weights.taken(tiny_runs.network(cfg), str(workdir))
    assert "begun anew" not in caplog.text and "not used" not in caplog.text
