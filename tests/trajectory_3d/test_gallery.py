"""The gallery: small true pictures, and a page that shows every one of them."""

import numpy as np
import pytest
from PIL import Image

from examples.trajectory_3d.figure_style import PALETTE
from examples.trajectory_3d.gallery import __main__ as command
from examples.trajectory_3d.gallery.browser import cut_foot, find_browser, whole_picture_of
from examples.trajectory_3d.gallery.pictures import WIDTH, Exhibit, Room, shrink, write_page


def rgb(colour):
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def test_pictures_keep_every_colour(tmp_path):
    pixels = np.full((400, 600, 3), 255, dtype=np.uint8)
    pixels[:, :300] = np.linspace(0, 255, 300)[None, :, None]  # a shading that wants all colours for itself
    for row, colour in enumerate(PALETTE):
        pixels[10 * row] = rgb(colour)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with Image.open(shrink(tmp_path / "a.png", tmp_path / "b.png")) as small:
        kept = np.asarray(small.convert("RGB"))
    for row, colour in enumerate(PALETTE):
        assert tuple(kept[10 * row, 500]) == rgb(colour)
    np.testing.assert_array_equal(kept, pixels)


def test_wide_pictures_become_narrower_and_moving_ones_keep_moving(tmp_path):
    Image.new("RGB", (2 * WIDTH, 500), "white").save(tmp_path / "a.png")
    with Image.open(shrink(tmp_path / "a.png", tmp_path / "b.png")) as small:
        assert small.size == (WIDTH, 250)
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(shrink(tmp_path / "a.gif", tmp_path / "b.gif")) as moving:
        assert moving.n_frames == 3


def test_a_foot_of_one_colour_is_cut_off_but_for_a_margin():
    picture = Image.new("RGB", (40, 500), (240, 242, 246))
    picture.putpixel((39, 299), (0, 0, 0))  # the last thing shown
    assert cut_foot(picture).size == (40, 324)
    picture.putpixel((0, 499), (0, 0, 0))  # no foot at all
    assert cut_foot(picture).size == (40, 500)


@pytest.mark.parametrize("height", [700, 5200])
def test_a_page_is_pictured_to_its_end(tmp_path, height):
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium is installed")
    page = tmp_path / "page.html"
    page.write_text(
        f"<body style='margin:0;background:#eef'><div style='height:{height}px;background:#246'></div>"
    )
    picture = whole_picture_of(page.as_uri(), tmp_path / "page.png", browser=browser)
    with Image.open(picture) as opened:
        assert opened.height == height + 24


def test_the_page_shows_every_picture_and_old_ones_are_gone(tmp_path):
    Image.new("RGB", (50, 50), "white").save(tmp_path / "one.png")
    images = tmp_path / "docs/images/gallery"
    images.mkdir(parents=True)
    (images / "stale.png").write_bytes(b"")
    room = Room(
        "Room", "command --option", [Exhibit(tmp_path / "one.png", "a picture", ["First.", "Second."])]
    )
    page = tmp_path / "docs/gallery.md"
    written = write_page([room], "Intro.", page, images)
    text = page.read_text(encoding="utf-8")
    assert "![a picture](images/gallery/one.png)\n\nFirst. Second.\n" in text
    assert "## Room\n\n```bash\ncommand --option\n```" in text
    assert written == [images / "one.png", page]
    assert [path.name for path in images.iterdir()] == ["one.png"]


def test_without_a_browser_it_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(command, "find_browser", lambda: None)
    assert command.main(["--output", str(tmp_path)]) == 2
    assert "install one of chromium" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_makes_the_whole_gallery(tmp_path, monkeypatch):
    if find_browser() is None:
        pytest.skip("no Chromium on this machine")
    monkeypatch.chdir(tmp_path)
    assert command.main(["--output", "docs", "--windows", "100"]) == 0
    text = (tmp_path / "docs/gallery.md").read_text(encoding="utf-8")
    pictures = list((tmp_path / "docs/images/gallery").iterdir())
    assert len(pictures) >= 12
    for picture in pictures:
        assert f"(images/gallery/{picture.name})" in text
        with Image.open(picture) as opened:
            assert np.asarray(opened.convert("RGB")).std() > 5, f"{picture.name} is blank"
