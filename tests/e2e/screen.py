"""What an X server without a screen (Xvfb -fbdir) shows: pixels, and pictures
to look at. The file is as xwd(1) writes it."""

import struct
import zlib
from pathlib import Path

SQUARE = range(8, 25)  # pixels: what a stop button shows
CONTRAST = 200         # of 765


class Screen:
    def __init__(self, directory):
        self.path = Path(directory) / "Xvfb_screen0"

    def rows(self):
        """[row], a row is its pixels' bytes: blue, green, red, unused."""
        data = self.path.read_bytes()
        head = struct.unpack(">25I", data[:100])
        size, height, stride, colours = head[0], head[5], head[12], head[19]
        pixels = data[size + 12 * colours:]
        return [pixels[y * stride:(y + 1) * stride] for y in range(height)]

    def find_square(self, left, top, width, height):
        """The centre of the rightmost solid square of a rectangle, in it, or
        None. Solid: of one colour, which is not that of its right edge."""
        rows = [row[4 * left:4 * (left + width)]
                for row in self.rows()[top:top + height]]
        if not rows or not rows[0]:
            return None
        ground = rows[0][-4:-1]

        def mark(x, y):
            return sum(abs(one - other) for one, other in zip(
                rows[y][4 * x:4 * x + 3], ground)) > CONTRAST
        for right in range(width - 1, 0, -1):
            down = 0
            for y in range(len(rows)):
                down = down + 1 if mark(right, y) else 0
                above = y - down + 1
                if down in SQUARE and self._solid(mark, right, above, down):
                    return right - down // 2, above + down // 2
        return None

    @staticmethod
    def _solid(mark, right, above, side):
        inner = range(above + 1, above + side - 1)
        return (right > side + 2 and right - side + 2 > 0
                and all(mark(x, y) for y in inner
                        for x in range(right - side + 2, right))
                and not any(mark(right - side - 2, y) or mark(right + 2, y)
                            for y in inner))

    def save(self, path):
        """A PNG of all of it."""
        rows = self.rows()
        width = len(rows[0]) // 4

        def chunk(kind, body):
            return (struct.pack(">I", len(body)) + kind + body
                    + struct.pack(">I", zlib.crc32(kind + body)))
        lines = bytearray()
        for row in rows:
            line = bytearray(3 * width)
            line[0::3], line[1::3], line[2::3] = row[2::4], row[1::4], row[::4]
            lines += b"\0" + line
        Path(path).write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
                ">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
