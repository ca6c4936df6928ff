"""Pictures from the bytes of their files, with OpenCV."""

import io
import warnings
from datetime import datetime

import cv2
import numpy as np
from PIL import ExifTags, Image

from transfer.runtime.errors import DataError

# What OpenCV reads, by Pillow's names.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
LARGEST_PIXELS = 150_000_000
# What Pillow raises for damage; of an AVIF, RuntimeError.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, RuntimeError)


class DamagedImageError(DataError):
    """Bytes that are no whole picture; its text is the reason alone, for a list with the file's name."""


def decode(encoded: bytes | np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) uint8 RGB in encoded bytes, turned as its EXIF says; of several frames the first.

    Grey becomes three equal channels, 16 bits become 8, transparency is left out. Raises DamagedImageError.
    """
    data = np.frombuffer(encoded, np.uint8)
    size = picture_size(data)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise DamagedImageError(f"OpenCV cannot read it ({error.err or error})") from None
    if image is None:
        raise DamagedImageError(f"OpenCV cannot read it ({size[1]} × {size[0]} px)")
    return image


def picture_size(encoded: bytes | np.ndarray) -> tuple[int, int]:
    """Height and width in pixels as stored, from the header alone. Raises DamagedImageError."""
    with _opened(encoded) as image:
        return image.height, image.width


def check_whole(encoded: bytes | np.ndarray) -> tuple[int, int]:
    """Height and width as shown, after the whole picture was read; OpenCV fills what is cut off without a word.

    A JPEG is read at an eighth of its size, which finds the same damage; of the other formats OpenCV refuses some
    files that Pillow reads, so it has to read them too. Raises DamagedImageError.
    """
    with _opened(encoded) as image:
        height, width = image.height, image.width
        image.draft(image.mode, (max(width // 8, 1), max(height // 8, 1)))
        try:
            image.load()
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # of a PNG it is read with the pixels
        except DAMAGE as error:
            raise DamagedImageError(" ".join(str(error).split()) or type(error).__name__) from None
    if image.format not in ("JPEG", "MPO"):
        height, width = decode(encoded).shape[:2]
        return height, width
    return (width, height) if turned else (height, width)


def taken_on(encoded: bytes | np.ndarray) -> str:
    """The day on which a camera says that it took a picture, as 2026-11-20; empty where it says none.

    What a PNG says behind its pixels is not looked for: it would have to be decoded.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            image = _opened(encoded)
            if image.format == "PNG" and "exif" not in image.info:
                return ""
            exif = image.getexif()
            own = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            said = own or exif.get(ExifTags.Base.DateTime)
        return datetime.strptime(str(said)[:10], "%Y:%m:%d").date().isoformat()
    except Exception:  # whatever garbled notes of a camera raise
        return ""


def _opened(encoded: bytes | np.ndarray) -> Image.Image:
    data = bytes(encoded)
    if not data:
        raise DamagedImageError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise DamagedImageError(f"more than {LARGEST_PIXELS:,} pixels, a decompression bomb") from None
    except DAMAGE:
        raise DamagedImageError("not an image that OpenCV reads") from None
    if image.width * image.height > LARGEST_PIXELS:
        raise DamagedImageError(
            f"{image.width:,} × {image.height:,} pixels, more than {LARGEST_PIXELS:,}: a decompression bomb"
        )
    return image
