"""Small pictures: what is committed stays light."""

import io

from PIL import Image

COLOURS = 64  # a quarter of the bytes, and nothing to be seen of it


def small(png: bytes) -> bytes:
    """The same picture with a palette."""
    image = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
