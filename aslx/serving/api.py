"""POST /api/transcribe: clips in one of a few formats, answers with confidences."""

import asyncio
import functools
from typing import Any

import fastapi
import pydantic
from fastapi import responses
from starlette import requests as requests_lib

from aslx.serving import bodies
from aslx.serving.engine import Answer, Engine, Full, Places
from aslx.serving.limits import Limits

_PATIENCE = 30.0  # Seconds for a body to arrive.


class Error(pydantic.BaseModel):
    """Why a request is refused, in one line."""

    detail: str


class Character(pydantic.BaseModel):
    character: str
    confidence: float
    """Its probability under the head's softmax; of a CTC head, the mean over its frames or, with
    beams, the share of the likeliest texts that have it too."""


class Transcription(pydantic.BaseModel):
    sequence_id: int | None
    """Of a parquet."""
    frames: int
    text: str
    characters: list[Character]


class Classification(pydantic.BaseModel):
    sequence_id: int | None
    frames: int
    """1 of an image."""
    name: str = pydantic.Field(alias="class")
    probability: float
    probabilities: dict[str, float]


class Transcriptions(pydantic.BaseModel):
    answers: list[Transcription]


class Classifications(pydantic.BaseModel):
    answers: list[Classification]


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "The body is not of its content type"},
    408: {"model": Error, "description": "The body did not arrive in time"},
    413: {"model": Error, "description": "The body or a clip is too large"},
    415: {"model": Error, "description": "The model does not take this content type"},
    422: {"model": Error, "description": "The body is not what the model reads"},
    503: {"model": Error, "description": "Too many requests wait"},
}


def add(app: fastapi.FastAPI, engine: Engine, limits: Limits, requests: Places) -> None:
    """Adds the route to the application."""
    classifies = engine.about.task == "classification"

    @app.post(
        "/api/transcribe",
        summary="What clips of landmarks, or an image, say",
        response_model=Classifications if classifies else Transcriptions,
        responses=_REFUSALS,
        openapi_extra={"requestBody": {"required": True, "content": _content(engine)}},
    )
    async def transcribe(request: fastapi.Request) -> Any:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            with requests.one():
                body = await _body(request, limits.body)
                parse = functools.partial(bodies.clips, body, kind, engine.about, limits)
                clips = await engine.run(parse)
                return {"answers": [await _answer(engine, *clip) for clip in clips]}
        except Full as error:
            return _refusal(503, str(error), {"Retry-After": "1"})
        except bodies.Refused as error:
            return _refusal(error.status, str(error))
        except requests_lib.ClientDisconnect:
            return _refusal(400, "the client has gone")


async def _answer(engine: Engine, sequence_id: int | None, clip: Any) -> Answer:
    frames = 1 if engine.about.kind == "image" else len(clip)
    answer = await engine.run(functools.partial(engine.read, clip))
    return {"sequence_id": sequence_id, "frames": frames} | answer


async def _body(request: fastapi.Request, most: int) -> bytes:
    """Refused where it is longer than `most`, however long it says it is."""
    refused = bodies.Refused(413, f"the body has more than {most} bytes")
    if int(request.headers.get("content-length", 0)) > most:
        raise refused
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise refused
    except TimeoutError:
        raise bodies.Refused(408, f"no whole body in {_PATIENCE:.0f} seconds") from None
    return bytes(body)


def _refusal(
    status: int, why: str, headers: dict[str, str] | None = None
) -> responses.JSONResponse:
    return responses.JSONResponse({"detail": " ".join(why.split())}, status, headers)


def _content(engine: Engine) -> dict[str, Any]:
    """The request body's types, for the OpenAPI page."""
    clip = bodies.Clip.model_json_schema()
    binary = {"type": "string", "format": "binary"}
    types = bodies.takes(engine.about)
    return {kind: {"schema": clip if kind == bodies.JSON else binary} for kind in types}
