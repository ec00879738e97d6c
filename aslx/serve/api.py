"""POST /api/transcribe: clips in one of several formats -> answers with confidences."""

import asyncio
import contextlib
import functools
from typing import Any

import fastapi
import pydantic
from fastapi import responses
from starlette import requests as requests_lib

from aslx.export.exported import Answer
from aslx.serve import bodies, refusals
from aslx.serve.interpreter_pool import Engine
from aslx.serve.limits import Limits
from aslx.serve.receiving import Receiving
from aslx.serve.turns import Client, Full, Places

_BYTES = 10_000  # Bytes of a body that take as long to parse as a frame takes to be read.


class Error(pydantic.BaseModel):
    """Why a request is refused, in one line."""

    detail: str


class Character(pydantic.BaseModel):
    character: str
    confidence: float
    """The probability under the head's softmax. For a CTC head: the mean over the character's
    frames or, with beams, the share of the likeliest texts that also have the character."""


class Transcription(pydantic.BaseModel):
    sequence_id: int | None
    """The clip's id in a parquet; null for other types."""
    frames: int
    text: str
    characters: list[Character]


class Classification(pydantic.BaseModel):
    sequence_id: int | None
    frames: int
    """1 for an image."""
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
    classifies = engine.about.classifies
    alone = asyncio.Lock()
    receiving = Receiving(limits.bodies, limits.body, 8 * limits.body)

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
            body = await receiving.body(request)
            # Counts from here: a client that holds its body back takes no other client's place.
            with requests.one():
                client = Client()
                parse = functools.partial(bodies.clips, body, kind, engine.about, limits)
                async with alone if bodies.is_large(body, kind) else contextlib.nullcontext():
                    clips = await engine.run(parse, client, 1 + len(body) / _BYTES)
                return {"answers": [await _answer(engine, client, *clip) for clip in clips]}
        except Full as error:
            return _refusal(503, str(error), {"Retry-After": "1"})
        except refusals.Refused as error:
            return _refusal(error.status, str(error))
        except requests_lib.ClientDisconnect:
            return _refusal(400, "the client has disconnected")


async def _answer(engine: Engine, client: Client, sequence_id: int | None, clip: Any) -> Answer:
    frames = 1 if engine.about.kind == "image" else len(clip)
    answer = await engine.run(functools.partial(engine.read, clip), client, 1 + frames)
    return {"sequence_id": sequence_id, "frames": frames} | answer


def _refusal(
    status: int, why: str, headers: dict[str, str] | None = None
) -> responses.JSONResponse:
    return responses.JSONResponse({"detail": refusals.line(why)}, status, headers)


def _content(engine: Engine) -> dict[str, Any]:
    """The content types of the request body, for the OpenAPI page."""
    clip = bodies.Clip.model_json_schema()
    binary = {"type": "string", "format": "binary"}
    types = bodies.takes(engine.about)
    return {kind: {"schema": clip if kind == bodies.JSON else binary} for kind in types}
