"""Models of images, frames and keypoints: what each takes, and that it answers with classes."""

import functools
import io

import numpy as np
import pandas as pd
import pytest
import requests
from PIL import Image

from aslx.export import exports
from aslx.export import tflite as tflite_lib
from aslx.schema import landmarks
from aslx.serve import bodies, limits
from tests import tiny
from tests.readers import test_images
from tests.serve import servers
from tests.serve.conftest import as_json
from tests.serve.test_api import one
from tests.serve.test_app import application
from tests.serve.test_streams import closed

NAMES = ["first", "second", "third"]
SHAPES = {"image": [4, 6, 3], "frames": ["t", 543, 3], "keypoints": ["t", 258]}


def tflite(shape: list) -> bytes:
    """A model: the softmax of the means of the colours, of the axes, or of the thirds of a row."""
    tf = pytest.importorskip("tensorflow")
    sizes = [None if n == "t" else n for n in shape]

    def fn(inputs):
        known = tf.where(tf.math.is_nan(inputs), 0.0, inputs)
        rows = tf.reshape(known, [-1, *((3, 86) if shape[-1] == 258 else (shape[1], 3))])
        means = tf.reduce_mean(rows, [0, 2 if shape[-1] == 258 else 1])
        return {"outputs": tf.nn.softmax(means)}

    module = tf.Module()
    module.serve = tf.function(fn, [tf.TensorSpec(sizes, tf.float32, name="inputs")])
    concrete = module.serve.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()


@pytest.fixture(scope="module", params=SHAPES)
def kind(request, tmp_path_factory):
    """(kind, address, model) of a server in a thread."""
    workdir, shape = tmp_path_factory.mktemp("run"), SHAPES[request.param]
    model = tflite(shape)
    about = {"step": 1, "scores": [], "task": "classification", "answers": NAMES}
    about["input"] = {"kind": request.param, "shape": shape}
    exports.write(workdir / "export", about, {}, {"model.tflite": model})
    with servers.running(application(workdir)) as url:
        run = tflite_lib.runner(model)
        yield request.param, url, lambda inputs: run(inputs=inputs)["outputs"]


@pytest.fixture
def post(kind):
    url = f"{kind[1]}/api/transcribe"
    return functools.partial(requests.post, url, timeout=30)


def same(answer: dict, outputs: np.ndarray) -> None:
    shares = {name: round(float(p), 4) for name, p in zip(NAMES, outputs, strict=True)}
    best = NAMES[outputs.argmax()]
    assert answer["probabilities"] == shares
    assert (answer["class"], answer["probability"]) == (best, shares[best])


def test_the_answer_is_that_of_the_interpreter(kind, post):
    name, _, model = kind
    rng = np.random.default_rng(0)
    if name == "image":
        picture = Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8))
        for form in ("PNG", "JPEG"):
            file = io.BytesIO()
            picture.save(file, form)
            headers = {"Content-Type": f"image/{form.lower()}"}
            answer = one(post(data=file.getvalue(), headers=headers))
            small = Image.open(file).resize((6, 4), Image.Resampling.BILINEAR)
            same(answer, model(np.asarray(small, np.float32)))
        return
    shape = SHAPES[name][1:]
    clip = rng.random((5, *shape)).astype(np.float32)
    same(one(post(json={"frames": clip.reshape(5, -1).tolist()})), model(clip))


def test_a_model_refuses_the_content_types_of_other_kinds(kind, post):
    name, _, _ = kind
    foreign = {"image": bodies.JSON, "frames": bodies.PNG, "keypoints": bodies.PARQUET}[name]
    response = post(data=b"{}", headers={"Content-Type": foreign})
    assert response.status_code == 415
    described = requests.get(kind[1] + "/openapi.json", timeout=30).json()
    content = described["paths"]["/api/transcribe"]["post"]["requestBody"]["content"]
    json_and_msgpack = {bodies.JSON, bodies.MSGPACK}
    assert (
        set(content)
        == {
            "image": {bodies.PNG, bodies.JPEG},
            "frames": json_and_msgpack | {bodies.PARQUET, bodies.POSE},
            "keypoints": json_and_msgpack,
        }[name]
    )


@pytest.mark.parametrize("kind", ["image"], indirect=True)
def test_a_body_that_is_no_image_or_too_large_is_refused(kind, post):
    def answer(data: bytes) -> requests.Response:
        return post(data=data, headers={"Content-Type": "image/png"})

    def status(data: bytes) -> int:
        return answer(data).status_code

    for width, height in ((5000, 4000), (2**16, 2)):  # 20 kilobytes, and one long side.
        Image.new("L", (width, height)).save(file := io.BytesIO(), "PNG")
        refusal = answer(file.getvalue())
        assert refusal.status_code == 413
        assert f"{width} x {height} pixels" in refusal.json()["detail"]
    Image.new("L", (20000, 20000)).save(file := io.BytesIO(), "PNG")
    assert status(file.getvalue()) in (413, 422)
    assert status(file.getvalue()[:500]) in (413, 422)
    assert status(b"GIF89a") == status(b"") == 422


class OfImages(tiny.StandIn):
    """A model of images."""

    kind, shape = "image", test_images.SHAPE


def test_an_image_is_turned_upright_however_the_camera_was_held():
    for orientation, turned in test_images.TURNED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(np.ascontiguousarray(turned(test_images.scene())))
        stored.save(file := io.BytesIO(), "PNG", exif=exif)
        ((_, found),) = bodies.clips(file.getvalue(), bodies.PNG, OfImages(), limits.Limits())
        np.testing.assert_array_equal(found, test_images.scene(), str(orientation))


@pytest.mark.parametrize("kind", ["image"], indirect=True)
def test_a_stream_to_a_model_of_images_is_closed(kind):
    server = servers.Server(kind[1], process=None)
    code, reason = closed(server)
    assert code == 1003 and "post them to /api/transcribe" in reason


@pytest.mark.parametrize("kind", ["keypoints"], indirect=True)
def test_keypoints_have_no_named_columns(post):
    response = post(json={"columns": ["x"], "frames": []})
    assert response.status_code == 422 and "no named columns" in response.json()["detail"]


@pytest.mark.parametrize("kind", ["frames"], indirect=True)
def test_kaggles_clip_of_an_isolated_sign_is_read_in_its_own_layout_and_as_columns(
    kind, post, shared
):
    path = next((shared / "asl_signs_sample").rglob("*.parquet"))
    headers = {"Content-Type": bodies.PARQUET}
    answer = one(post(data=path.read_bytes(), headers=headers))
    clip = pd.read_parquet(path)[["x", "y", "z"]].to_numpy(np.float32).reshape(-1, 543, 3)
    same(answer, kind[2](clip))
    columns = [f"{axis}_{point}" for axis in landmarks.AXES for point in landmarks.POINTS]
    wide = clip.transpose(0, 2, 1).reshape(len(clip), -1)
    frame = pd.DataFrame(wide, pd.Index([1] * len(clip), name="sequence_id"), columns)
    frame.to_parquet(file := io.BytesIO())
    again = one(post(data=file.getvalue(), headers=headers))
    assert again == answer | {"sequence_id": 1}
    assert one(post(json={"columns": columns, "frames": as_json(wide)})) == answer
