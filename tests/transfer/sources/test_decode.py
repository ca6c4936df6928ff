"""Whatever bytes come, of every format: a picture, or DamagedImageError with one line."""

import io

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from transfer.sources.decode import FORMATS, DamagedImageError, check_whole, decode, taken_on

ENDINGS = (".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".ppm", ".jp2", ".avif")
DAMAGED_EACH = 150


@pytest.mark.parametrize(
    ("said", "day"),
    [({"original": "2026:11:20 08:15:00", "changed": "2026:11:25 10:00:00"}, "2026-11-20"),
     ({"changed": "2026:11:25 10:00:00"}, "2026-11-25"), ({"changed": "0000:00:00 00:00:00"}, ""), ({}, "")],
    ids=["taken", "changed", "no date", "nothing"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_day_that_a_camera_wrote_is_read(
    said: dict[str, str], day: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without decoding the picture."""
    exif, stream = Image.Exif(), io.BytesIO()
    if "changed" in said:
        exif[ExifTags.Base.DateTime] = said["changed"]
    if "original" in said:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = said["original"]
    Image.new("RGB", (4, 4)).save(stream, kind, exif=exif)
    decoded: list[None] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _image: decoded.append(None))
    assert (taken_on(stream.getvalue()), decoded) == (day, [])


@pytest.mark.parametrize("ending", ENDINGS)
def test_damage_is_refused_or_is_none(ending: str) -> None:
    assert len(ENDINGS) == len(FORMATS)
    random = np.random.default_rng(0)
    whole = cv2.imencode(ending, random.integers(0, 256, (40, 40, 3), np.uint8))[1].tobytes()
    assert decode(whole).shape == (40, 40, 3)
    refused = []
    for number in range(DAMAGED_EACH):
        body = np.frombuffer(whole, np.uint8).copy()
        if number % 3 == 0:
            body = body[: random.integers(len(body))]
        # The first bytes say what all others mean.
        for place in random.integers(0, len(body) if number % 2 else min(len(body), 400), 8 if len(body) else 0):
            body[place] = random.integers(256)
        try:
            taken_on(body)  # never raises
            size = check_whole(body)
        except DamagedImageError as error:
            refused.append(str(error))
        else:
            assert decode(body).shape == (*size, 3), "what was checked can be read, and has that size"
    assert len(refused) > DAMAGED_EACH / 4
    assert [reason for reason in refused if "\n" in reason or not reason] == []
