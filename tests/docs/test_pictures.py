"""README's pictures, which `make pictures` takes."""

from __future__ import annotations

import re
import struct

from helpers import ROOT
from pictures import PICTURES, SHOWN

MOST_BYTES = 300_000


def test_readme_shows_each_picture_and_says_what_is_on_it() -> None:
    shown = re.findall(r"^!\[(.+)\]\(docs/pictures/(.+)\)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    pictures = sorted(path.name for path in PICTURES.iterdir())
    assert sorted(name for _, name in shown) == pictures == sorted(f"{report}.png" for report in SHOWN)
    assert all(len(words) > 40 for words, _ in shown)


def test_pictures_are_small_and_as_wide_as_a_page() -> None:
    for picture in PICTURES.iterdir():
        content = picture.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
        width, height = struct.unpack(">II", content[16:24])
        assert width == 1024
        assert 600 < height < 1600
        assert len(content) < MOST_BYTES
