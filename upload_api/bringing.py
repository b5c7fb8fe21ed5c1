"""`POST /api/v1/videos`: a video without a tus client. JSON names an address that it is imported from; a form brings a
small file itself, under the same checks as any upload."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.catalogue import Upload
from storage.errors import FishladderError, InvalidRequest, TooLarge, UploadTerminated
from storage.jobs import Lane
from upload_api.answers import Answers
from upload_api.auth.principal import Principal, caller_of
from upload_api.errors import WrongContentType
from upload_api.forms import Form, boundary_of
from upload_api.imports.guard import Network, check_literal, parse_target
from upload_api.imports.importer import Importer
from upload_api.models import ProblemModel, VideoModel
from upload_api.ports import Ports
from upload_api.requests import asked_by, request_fields
from upload_api.settings import UploadApiSettings
from upload_api.threads import Threads
from upload_api.tus.body import Body
from upload_api.tus.metadata import read_wishes
from upload_api.tus.protocol import Append, Creation, content_type
from upload_api.tus.service import TusService
from upload_api.urls import Urls, plan_urls

PROBLEMS = {code: {"model": ProblemModel} for code in (400, 409, 422, 503)}
MAX_JSON_BYTES = 64 * 1024
FORM_LIFETIME_MS = 3600 * 1000
"""An upload by a form cannot be resumed: what a process that dies leaves of it goes soon."""


class NewVideo(BaseModel):
    """A video to be imported."""

    model_config = ConfigDict(extra="forbid")

    source_url: str = Field(max_length=4096, description="http or https, at a public address")
    title: str | None = Field(default=None, max_length=200, description="default: the address's last step")
    filename: str | None = Field(default=None, max_length=255)
    priority: str = Field(default=Lane.STANDARD, description="interactive, standard or bulk")


FORM_SCHEMA = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "title": {"type": "string", "maxLength": 200},
        "priority": {"type": "string", "enum": ["interactive", "standard", "bulk"], "default": "standard"},
        "file": {"type": "string", "format": "binary", "description": "after all other fields"},
    },
}
REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewVideo.model_json_schema()},
            "multipart/form-data": {"schema": FORM_SCHEMA},
        },
    }
}


class Bringer:
    def __init__(
        self,
        settings: UploadApiSettings,
        service: TusService,
        importer: Importer,
        allowed: tuple[Network, ...],
    ) -> None:
        self._max_form_bytes = settings.max_form_bytes
        self._service = service
        self._importer = importer
        self._allowed = allowed

    async def import_from(self, wanted: NewVideo, urls: Urls, who: Principal) -> Upload:
        """Raises `ImportRefused` for an address that we would never fetch; what it leads to shows later."""
        target = parse_target(wanted.source_url)
        check_literal(target, self._allowed)
        said = {"title": wanted.title, "filename": wanted.filename or target.filename, "priority": wanted.priority}
        upload = await self._service.create(_creation(said, source_url=target.url), urls, who)
        self._importer.begin(upload.id)
        return upload

    async def take_form(self, request: Request, urls: Urls, who: Principal) -> Upload:
        """Raises what any upload raises; nothing is kept of a form that did not come whole."""
        fields = request_fields(request.scope)
        size = fields.get("content-length", "")
        if size.isdecimal() and int(size) > self._max_form_bytes + 2 * MAX_JSON_BYTES:
            raise TooLarge("This file is too large for a form; upload it over tus.", max_bytes=self._max_form_bytes)
        form = Form(Body(request.receive), boundary_of(fields.get("content-type", "")), self._max_form_bytes)
        await form.open()
        said = {name: form.fields.get(name) for name in ("title", "priority")} | {"filename": form.filename}
        upload = await self._service.create(_creation(said, lifetime_ms=FORM_LIFETIME_MS), urls, who)
        append = Append(offset_bytes=0, body_bytes=None, length_bytes=None, ends=True)
        try:
            receipt = await self._service.take(upload.id, append, form)
            receipt.check()
        except FishladderError:
            await self._drop(upload)
            raise
        if form.disconnected and receipt.upload.state == "open":
            await self._drop(upload)
            raise UploadTerminated("The connection broke.")
        return receipt.upload

    async def _drop(self, upload: Upload) -> None:
        """Nobody can go on with it. One that was refused keeps its reason."""
        if (await self._service.state_of(upload.id)) == "open":
            await self._service.terminate(upload.id)


def bringing_routes(settings: UploadApiSettings, ports: Ports, threads: Threads, bringer: Bringer) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS)  # type: ignore[arg-type]  # FastAPI's dict is invariant
    answers = Answers(settings, ports)

    @router.post(
        "/videos",
        summary="Bring a video: from an address, or a small file in a form",
        status_code=201,
        tags=["videos"],
        response_model=VideoModel,
        responses={
            202: {"model": VideoModel, "description": "the import has begun; follow the video"},
            413: {"model": ProblemModel},
            415: {"model": ProblemModel},
        },
        openapi_extra=REQUEST_BODY,
    )
    async def bring_video(request: Request, response: Response) -> VideoModel:
        """JSON: `{"source_url": …}`, answered at once with 202; the video then tells how far it is. A form: `curl -F
        title=… -F file=@film.mp4`, its file last, answered when the file is safe. Use tus for what is large or whose
        network breaks."""
        urls, who = plan_urls(asked_by(request.scope), settings), caller_of(request.scope)
        match content_type(request_fields(request.scope)):
            case "application/json":
                upload = await bringer.import_from(await _read_json(request), urls, who)
                response.status_code = 202
            case "multipart/form-data":
                upload = await bringer.take_form(request, urls, who)
            case _:
                raise WrongContentType("Send JSON with a source_url, or a form with a file.")
        response.headers["Location"] = f"{urls.public}/api/v1/videos/{upload.video}"
        response.headers["Fishladder-Video"] = upload.video
        video = await threads.catalogue(ports.catalogue.video, upload.video)
        return await threads.catalogue(answers.in_full, video, request, response)

    return router


async def _read_json(request: Request) -> NewVideo:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_JSON_BYTES:
            raise TooLarge("That is too long.", max_bytes=MAX_JSON_BYTES)
    try:
        return NewVideo.model_validate_json(bytes(content))
    except ValidationError as error:
        places = [f"{'.'.join(str(step) for step in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise InvalidRequest("; ".join(places)) from error


def _creation(
    said: dict[str, str | None], *, source_url: str | None = None, lifetime_ms: int | None = None
) -> Creation:
    """Raises `InvalidRequest` for wishes that nobody grants."""
    return Creation(
        length_bytes=None,
        metadata_raw=None,
        wishes=read_wishes({name: value.encode("utf-8", "replace") for name, value in said.items() if value}),
        carries_body=False,
        body_bytes=None,
        source_url=source_url,
        lifetime_ms=lifetime_ms,
    )
