"""The pages as Chromium draws them: style applied, readable in the light, in the dark and on a telephone."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.web.conftest import Site

GIVES_UP = 60
"""Seconds after which a browser that draws nothing is a failure."""

PHONE, DESK = (500, 1800), (1100, 1500)  # headless Chromium's windows are 500 wide at least


@pytest.mark.integration
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_first_page_is_drawn(site: Site, tmp_path: Path, size: tuple[int, int], dark: bool) -> None:
    picture = await screenshot(f"{site.url}/", tmp_path, size, dark=dark)
    ground_and_cards = {"#101716", "#1a2321"} if dark else {"#f6f8f7", "#ffffff"}
    assert set(common_colours(picture)[:2]) == ground_and_cards


async def screenshot(url: str, folder: Path, size: tuple[int, int], *, dark: bool) -> Path:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing: run ops/setup.sh"
    picture = folder / "page.png"
    process = await asyncio.create_subprocess_exec(
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--force-device-scale-factor=1",
        *(
            ["--blink-settings=preferredColorScheme=0"]
            if dark
            else ["--blink-settings=preferredColorScheme=1"]
        ),
        "--accept-lang=fr",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={size[0]},{size[1]}",
        f"--screenshot={picture}",
        url,
        env=os.environ | {"HOME": str(folder)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), GIVES_UP)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert picture.exists(), said.decode()[-2000:]
    assert b"Content Security Policy" not in said  # nothing of the page was refused by its own policy
    return picture


def common_colours(picture: Path) -> list[str]:
    """The colours of a picture as in the style sheet, the commonest first."""
    with Image.open(picture) as image:
        pixels = image.convert("RGB")
        counted = pixels.getcolors(pixels.width * pixels.height) or []
    return ["#{:02x}{:02x}{:02x}".format(*colour) for _, colour in sorted(counted, reverse=True)]  # type: ignore[misc]
