"""A handler as people write it first: FastAPI and torch, a run of the network for each image.

`/predict` is a plain function, which FastAPI runs in its threads; `/predict-async` runs in the event loop itself.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from transfer.deployment.package import WEIGHTS, read_package
from transfer.network.program import load_program

folder, port = Path(sys.argv[1]), int(sys.argv[2])
package = read_package(folder)
model = load_program(folder / WEIGHTS, package.mirror, package.shift_fraction)
side = package.preparation.size_px
app = FastAPI()


def answer(upload: UploadFile) -> dict[str, float]:
    image = Image.open(upload.file).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    with torch.inference_mode():
        probabilities, _ = model(torch.from_numpy(np.array(image))[None])
    return dict(zip(package.classes, probabilities[0].tolist(), strict=True))


@app.post("/predict")
def predict(files: UploadFile) -> dict[str, float]:
    return answer(files)


@app.post("/predict-async")
async def predict_async(files: UploadFile) -> dict[str, float]:
    return answer(files)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


uvicorn.run(app, port=port, log_level="warning")
