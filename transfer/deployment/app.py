"""The model over HTTP: predictions, heat maps, what the model is, and a page for people. Nothing here needs torch."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from transfer.deployment.batching import Batcher, QueueFullError
from transfer.deployment.counters import Counters
from transfer.deployment.interface import interface_page
from transfer.deployment.limits import AGAIN, FULL, Limits, Upload, body_bytes, read_uploads
from transfer.deployment.occlusion import covered, heat_of
from transfer.deployment.predictor import VERDICTS, Answers, Predictor
from transfer.runtime.files import sha256_of
from transfer.sources.decode import DamagedImageError, picture_size

PAGE = Path(__file__).with_name("templates") / "page.html"
CARD = "README.md"
BOMB = "decompression bomb"  # what the reader of images says of more pixels than it reads at all
POLICY = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' blob: data:"
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@dataclass(frozen=True)
class Service:
    """What the handlers share."""

    predictor: Predictor
    folder: Path
    limits: Limits
    batcher: Batcher
    counters: Counters
    log: Path | None

    async def prepared(self, upload: Upload) -> np.ndarray:
        """Pixels of an uploaded image. Raises HTTPException: 415 if it is none, 413 if too large, 422 if damaged."""
        try:
            height, width = picture_size(upload.content)
        except DamagedImageError as error:
            raise HTTPException(413 if BOMB in str(error) else 415, f"{upload.name}: {error}") from None
        if height * width > self.limits.pixels:
            raise HTTPException(
                413, f"{upload.name}: {width:,} × {height:,} pixels, more than {self.limits.pixels:,}; send it smaller"
            )
        try:
            return await asyncio.to_thread(self.predictor.package.preparation.from_bytes, upload.content)
        except DamagedImageError as error:
            raise HTTPException(422, f"{upload.name}: damaged ({error})") from None

    async def answered(self, pixels: np.ndarray) -> list[Answers]:
        try:
            return await self.batcher.answer(pixels)
        except QueueFullError as error:
            raise HTTPException(429, str(error), AGAIN) from None

    def described(self, upload: Upload, answers: Answers) -> dict[str, Any]:
        """An answer as JSON has it."""
        probabilities = answers.probabilities[0]
        best = np.argsort(-probabilities, kind="stable")
        classes = self.predictor.package.classes
        return {
            "file": upload.name,
            "answer": classes[best[0]],
            "probability": float(probabilities[best[0]]),
            "verdict": answers.verdicts[0],
            "explanation": VERDICTS[answers.verdicts[0]],
            "distance": float(answers.distances[0]),
            "probabilities": {classes[place]: float(probabilities[place]) for place in best},
        }

    def note(self, upload: Upload, described: dict[str, Any]) -> None:
        """Write an answer to the log: never the picture, nor its name."""
        if self.log is None:
            return
        kept = {key: described[key] for key in ("answer", "probability", "verdict", "distance", "probabilities")}
        line = {"time": time.time(), "sha256": hashlib.sha256(upload.content).hexdigest(), **kept}
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, allow_nan=False) + "\n")


def make_app(predictor: Predictor, folder: Path, limits: Limits, log: Path | None = None) -> FastAPI:
    """The application of a package in a folder; answers are logged to the file `log` if it is given."""
    batcher = Batcher(predictor, limits.batch, limits.wait_s, limits.queue)
    service = Service(predictor, folder, limits, batcher, Counters(), log)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield  # uvicorn ends this when the last request is answered
        task.cancel()

    # FastAPI's own documentation pages load scripts from elsewhere; ours, at /docs, loads nothing.
    app = FastAPI(title="Image classifier", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(AnyHTTPException, _refused)  # those of unknown paths too
    app.add_exception_handler(Exception, _failed)
    _add_middleware(app, service)
    _add_model_routes(app, service)
    _add_state_routes(app, service)
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _failed(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the server failed ({type(error).__name__}); its log says where"}, 500)


def _add_middleware(app: FastAPI, service: Service) -> None:
    @app.middleware("http")
    async def count(request: Request, proceed: Any) -> Response:
        started = time.perf_counter()
        body = body_bytes(request, service.limits)
        most = service.limits.bytes_in_all
        if service.counters.active >= service.limits.requests or service.counters.bytes + (body or 0) > most:
            response: Response = JSONResponse({"error": FULL}, 503, AGAIN)
        else:
            with service.counters.one_more(body, most) as request.state.has_room:
                response = await proceed(request)
        path = request.url.path if request.url.path in ("/predict", "/explain", "/model", "/") else "other"
        service.counters.note(path, response.status_code, time.perf_counter() - started)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = POLICY
        return response


def _add_model_routes(app: FastAPI, service: Service) -> None:
    @app.post("/predict", openapi_extra=UPLOAD)
    async def predict(request: Request) -> dict[str, Any]:
        """Answer one image (as the body, or in a form), or several (in a form).

        Of several, those that cannot be answered have an `error` and a `status`; one alone is refused with it.
        """
        uploads = await read_uploads(request, service.limits)
        service_room(service, len(uploads))
        prepared = await asyncio.gather(*map(service.prepared, uploads), return_exceptions=True)
        pixels = [each for each in prepared if isinstance(each, np.ndarray)]
        failed = [each for each in prepared if isinstance(each, BaseException)]
        if failed and (not pixels or not isinstance(failed[0], HTTPException)):
            raise failed[0]
        answers = iter(await service.answered(np.stack(pixels)))
        rows = []
        for upload, each in zip(uploads, prepared, strict=True):
            if isinstance(each, HTTPException):
                rows.append({"file": upload.name, "error": each.detail, "status": each.status_code})
                continue
            rows.append(service.described(upload, next(answers)))
            service.note(upload, rows[-1])
        return {"model": service.predictor.package.model_sha256, "answers": rows}

    @app.post(
        "/explain", openapi_extra=UPLOAD, response_class=Response, responses={200: {"content": {"image/png": {}}}}
    )
    async def explain(request: Request, label: str | None = None) -> Response:
        """A picture (PNG) of where an image's answer, or the class `label`, comes from: red where covering costs it."""
        classes = service.predictor.package.classes
        if label is not None and label not in classes:
            raise HTTPException(422, f"label = {label!r}: no such class; there are {', '.join(classes)}")
        uploads = await read_uploads(request, service.limits)
        if len(uploads) != 1:
            raise HTTPException(422, f"{len(uploads)} images; one at a time is explained")
        pixels = await service.prepared(uploads[0])
        answers = await service.answered(covered(pixels))
        target = classes.index(label) if label is not None else int(answers[-1].raw.argmax())
        heat = heat_of(np.array([each.raw[0, target] for each in answers]), len(pixels))
        return Response(_overlay(pixels, heat), media_type="image/png")


def service_room(service: Service, images: int) -> None:
    """Refuse before the images are decoded what would not find room after."""
    try:
        service.batcher.check_room(images)
    except QueueFullError as error:
        raise HTTPException(429, str(error), AGAIN) from None


def _overlay(pixels: np.ndarray, heat: np.ndarray) -> bytes:
    colours = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_JET)
    weight = 0.5 * heat[..., None]
    mixed = np.rint((1 - weight) * pixels[..., ::-1] + weight * colours).astype(np.uint8)
    return cv2.imencode(".png", mixed)[1].tobytes()


def _add_state_routes(app: FastAPI, service: Service) -> None:
    files = [path for path in sorted(service.folder.iterdir()) if path.is_file()]
    about = {
        **service.predictor.package.model_dump(mode="json"),
        "onnxruntime": onnxruntime.__version__,
        "sha256": {path.name: sha256_of(path) for path in files},
        "card": (service.folder / CARD).read_text(encoding="utf-8") if (service.folder / CARD).exists() else None,
    }

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        """The page for people."""
        return PAGE.read_text(encoding="utf-8")

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def interface() -> str:
        return interface_page(app.openapi())

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """That it answers at all."""
        return {"status": "ok"}

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """What package.json says, the card, and the digests of all files of the package."""
        return about

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Counters for Prometheus."""
        gauges = {"queue_images": len(service.batcher.waiting), "active_requests": service.counters.active}
        totals = {"network_runs": service.batcher.runs, "network_images": service.batcher.images}
        return service.counters.text(gauges, totals)
