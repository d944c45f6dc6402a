import base64
import io
import re

import numpy as np
from PIL import Image

from memae import charts, demo, markup


def test_the_demo_makes_its_page_and_picture(tmp_path, monkeypatch):
    judge = demo._judge

    def quickly(name, detector, *data):
        return judge(name, detector if detector.n_items is None else detector.set_params(epochs=2, warmup=1), *data)

    monkeypatch.setattr(demo, "_judge", quickly)
    lines = list(demo.run(tmp_path / "out"))
    assert sum(line.startswith("  ") and line[2] != " " for line in lines) == 5  # three digits, the table, the street
    assert sum("memae: VideoMemAE()" in line for line in lines) == 2
    page = (tmp_path / "out" / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)  # opens offline
    pictures = re.findall(r'<img alt="[^"]+" width="\d+" src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 5 + 1 + 3
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()
    assert page.count("<figure>") == 4
    with Image.open(tmp_path / "out" / "demo.png") as picture:
        assert picture.size == ((12 * 9 - 1) * 6, (5 * 9 - 1) * 6)


def test_the_street_is_the_same_each_time_and_the_cyclist_comes_when_asked():
    quiet, cycled = demo.street(12, 3), demo.street(12, 3, cyclist=(4, 9))
    assert np.array_equal(quiet, demo.street(12, 3))
    assert quiet.shape == (12, 64, 96)
    assert (quiet != cycled).any((1, 2)).tolist() == [4 <= t < 9 for t in range(12)]


def test_text_cannot_become_markup():
    page = markup.page("<b>", "a & b", [markup.table(["<i>"], [["<script>"]]), markup.figure("", "<u>")])
    assert not re.search(r"<(b|i|u|script)>", page)
    assert "&lt;script&gt;" in page


def test_pictures_side_by_side_keep_their_pixels():
    images = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
    sheet = markup.strip(images, 3, gap=1, ground=200)
    assert sheet.shape == (5, 11)
    assert np.array_equal(sheet[:2, 4:7], images[1])
    assert np.array_equal(sheet[3:, :3], images[3])
    assert (sheet[2] == 200).all()


def test_a_timeline_shades_what_is_marked():
    marked = np.array([False, True, True, False, False, True])
    drawing = charts.timeline(np.array([1.0, 4.0, 5.0, 2.0, 1.0, 6.0]), marked, limit=3.0)
    shades = [
        (float(x), float(w)) for x, w in re.findall(r'class="marked" x="([\d.]+)" y="0" width="([\d.]+)"', drawing)
    ]
    assert shades == [(180.0, 360.0), (900.0, 180.0)]
    assert len(re.search(r'points="([^"]+)"', drawing)[1].split()) == 6
