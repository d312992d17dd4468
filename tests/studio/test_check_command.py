"""`recon check` end to end on bundled photos: table, check.json, check.png; exit codes; advice that follows what is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image, ImageFilter

from recon.capture import Capture
from recon.check import CaptureCheck
from recon.ingest import load_capture
from studio.check import print_check
from studio.check_canvas import Canvas, plain, shortened, text_width, wrapped
from studio.check_map import Frame, merged_rings, spread_out
from studio.check_picture import capture_name, faces_line, square_around, summary_line
from studio.cli import main
from studio.report_text import degrees_range
from studio.sample import sample_capture_dir


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos: two from one side, one of them twice (saved again), one blurred, one empty."""
    folder = tmp_path_factory.mktemp("check") / "anna"
    folder.mkdir()
    for name in ("neutral_04.jpg", "neutral_05.jpg"):
        shutil.copy(sample_capture_dir() / name, folder / name)
    with Image.open(folder / "neutral_05.jpg") as photo:
        photo.resize((photo.width * 3 // 4, photo.height * 3 // 4), Image.Resampling.BOX).save(folder / "resaved.jpg", quality=80)
        photo.filter(ImageFilter.GaussianBlur(9)).save(folder / "shaken.jpg")
    Image.new("RGB", (320, 320), (200, 190, 180)).save(folder / "wall.jpg")
    return folder


@pytest.fixture(scope="module")
def checked(person: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("out") / "check"
    assert main(["check", str(person), "--out", str(out)]) == 0
    return out, json.loads((out / "check.json").read_text())


def by_name(record: dict) -> dict[str, dict]:
    return {picture["name"]: picture for picture in record["pictures"]}


def test_every_picture_has_a_status_and_its_reason(checked):
    pictures = by_name(checked[1])
    assert {name: picture["status"] for name, picture in pictures.items()} == {
        "neutral_04.jpg": "ok", "neutral_05.jpg": "ok", "resaved.jpg": "ok", "shaken.jpg": "blurred", "wall.jpg": "no_face",
    }  # fmt: skip
    assert "blurred" in pictures["shaken.jpg"]["warnings"][0] and "no face" in pictures["wall.jpg"]["warnings"][0]
    assert pictures["neutral_04.jpg"]["faces"] == 1 and pictures["neutral_04.jpg"]["face_px"] > 150
    assert pictures["neutral_04.jpg"]["focal_from"] == "exif" and pictures["neutral_04.jpg"]["focal_px"] > 100


def test_pictures_without_a_face_are_counted_and_not_passed_over(checked):
    words = "3 of 5 show one face; 1 without a detected face (profiles are registered from their neighbours); 1 set aside unseen"
    assert checked[1]["faces"] == words


@pytest.mark.parametrize(
    ("faces", "status", "words"),
    [
        ([1], "ok", "the picture shows one face"),
        ([3], "several_faces", "the picture shows several faces: the largest is used"),
        ([1, 1], "ok", "all 2 show one face"),
        ([2, 1], "ok", "1 of 2 show one face; 1 several"),
    ],
)
def test_of_one_picture_the_line_on_faces_speaks_in_the_singular(faces, status, words):
    views = [SimpleNamespace(num_faces=count, status=status) for count in faces]
    assert faces_line(cast(Any, SimpleNamespace(views=views))) == words


def test_one_direction_is_no_range():
    assert degrees_range([2.3, 1.6]) == "2°" and degrees_range([-0.2, 0.3]) == "0°" and degrees_range([12.0, -66.4]) == "−66° to 12°"


def test_the_photo_that_was_saved_twice_is_named(checked):
    pictures = by_name(checked[1])
    assert pictures["resaved.jpg"]["near_duplicate_of"] == "neutral_05.jpg" and pictures["neutral_05.jpg"]["near_duplicate_of"] == ""


def test_the_advice_names_a_direction_that_no_picture_has(checked):
    record = checked[1]
    best = record["next_photos"][0]
    yaws = [picture["yaw_deg"] for picture in record["pictures"] if picture["yaw_deg"] is not None]
    assert best["gain"] > 0.02 and ("person's" in best["text"] or "straight in front" in best["text"])
    assert best["expression"] or best["pitch_deg"] or min(abs(best["yaw_deg"] - yaw) for yaw in yaws) > 6
    assert record["coverage"]["gaps_deg"] and record["coverage"]["expected_sd_mm"] < 1.5


def test_the_page_is_a_picture_with_the_map_and_every_thumbnail_inside(checked):
    with Image.open(checked[0] / "check.png") as page:
        pixels = np.asarray(page.convert("RGB")).astype(int)
    assert pixels.shape[1] == 1800 and 1200 < pixels.shape[0] < 1700
    # The map's amber and the faces' browns: coloured pixels lie inside the map's frame.
    colour = np.ptp(pixels[220:800, 130:1190], axis=2)
    assert (colour > 40).mean() > 0.02
    # Nothing is cut off at the page's own border.
    assert np.ptp(pixels[:, :8].reshape(-1, 3), axis=0).max() == 0 and np.ptp(pixels[:, -8:].reshape(-1, 3), axis=0).max() == 0


def test_json_on_standard_output_is_json_alone(person, capsys):
    assert main(["check", str(person / "neutral_04.jpg"), str(person / "neutral_05.jpg"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [picture["name"] for picture in record["pictures"]] == ["neutral_04.jpg", "neutral_05.jpg"]
    assert record["source"] == str(person / "neutral_04.jpg") and record["further_sources"] == [str(person / "neutral_05.jpg")]


@pytest.mark.parametrize("content", ["nothing", "text"])
def test_what_cannot_be_used_ends_with_exit_code_2(tmp_path, capsys, content):
    source = tmp_path / "source"
    if content == "text":
        source.mkdir()
        (source / "a.jpg").write_text("no picture")
    assert main(["check", str(source)]) == 2
    assert "expected" in capsys.readouterr().err


def test_a_folder_without_a_face_ends_with_exit_code_2_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "walls").mkdir()
    Image.new("RGB", (300, 300), (120, 130, 140)).save(tmp_path / "walls" / "wall.png")
    assert main(["check", str(tmp_path / "walls"), "--out", str(tmp_path / "out")]) == 2
    assert "face" in capsys.readouterr().err and not (tmp_path / "out" / "check.json").exists()


def checked_views(yaws_deg: list[float], statuses: list[str]) -> CaptureCheck:
    """What the lines of a check read of it."""
    views = [
        SimpleNamespace(is_usable=status == "ok", status=status, yaw_deg=yaw, warnings=(), weights={}, num_faces=1)
        for yaw, status in zip(yaws_deg, statuses, strict=True)
    ]
    return cast(CaptureCheck, SimpleNamespace(views=views))


def test_the_summary_has_real_minus_signs_no_negative_zero_and_a_singular():
    line = summary_line(checked_views([-69.4, -0.2], ["ok", "ok"]))
    assert "2 of 2 pictures usable" in line and "yaw −69° to 0°" in line
    assert "1 of 1 picture usable" in summary_line(checked_views([4.0], ["ok"]))


def test_all_sources_of_a_capture_are_named_and_many_are_counted():
    places = [Path("/set/anna"), Path("/set/right/images"), Path("/set/clip.mp4"), Path("/set/more.jpg")]
    capture = [Capture(places[0], (), "relative", further_sources=tuple(places[1:count])) for count in (1, 2, 3, 4)]
    assert [capture_name(item) for item in capture] == ["anna", "anna, right", "anna, right, clip.mp4", "anna, right and 2 more"]


def test_the_tables_title_names_every_source(monkeypatch):
    titles: list[str] = []
    reporter = SimpleNamespace(table=lambda title, *_: titles.append(title), say=lambda *_, **__: None)
    check = checked_views([], [])
    cast(Any, check).__dict__.update(
        capture=Capture(Path("left"), (), "relative", further_sources=(Path("right"),)), gaps_deg=(), notes=(), next_photos=()
    )
    print_check(check, None, cast(Any, reporter))
    assert titles == ["check of left, right"]


def test_equal_names_of_two_folders_are_told_apart(tmp_path, monkeypatch):
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (200, 200), (90, 80, 70)).save(tmp_path / folder / "1.png")
    capture = load_capture([tmp_path / "left", tmp_path / "right"])
    assert [view.name for view in capture.views] == ["1.png", "right/1.png"]
    monkeypatch.chdir(tmp_path / "right")
    capture = load_capture([tmp_path / "left", "."])
    assert [view.name for view in capture.views] == ["1.png", "right/1.png"], "the folder that one stands in has a name too"


def test_discs_do_not_cover_each_other_and_stay_in_the_frame():
    frame, taken = Frame(0, 0, 900, 500), [(450.0, 250.0, 30.0)]
    homes = [(450.0, 250.0)] * 12 + [(5.0, 5.0), (899.0, 499.0)]
    spots = spread_out(homes, 30.0, frame, taken)
    points = np.array([*spots, (450.0, 250.0)])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e6 * np.eye(len(points))
    assert gaps.min() >= 60
    assert (points >= 30).all() and (points[:, 0] <= 870).all() and (points[:, 1] <= 470).all()


def test_two_wishes_at_one_place_share_a_ring():
    from recon.coverage_next import NextPhoto

    photos = [NextPhoto(yaw, 0.0, "", 0.1, (), "") for yaw in (15.0, 30.0, 15.0)]
    assert merged_rings(photos) == [((15.0, 0.0), "1+3"), ((30.0, 0.0), "2")]


def test_text_is_broken_and_shortened_to_its_width():
    assert all(text_width(line, 20) <= 200 for line in wrapped("a sentence that has to be broken into several lines", 20, 200))
    name = shortened("a_very_long_file_name_with_its_number_at_the_end_000123.jpg", 20, 220)
    assert text_width(name, 20) <= 220 and name.endswith(".jpg") and "..." in name
    assert plain("−45° 人") == "-45° ?"


def test_a_square_at_the_pictures_border_stays_inside():
    image = np.arange(60 * 100 * 3, dtype=np.uint32).reshape(60, 100, 3).astype(np.uint8)
    cut = square_around(image, (80.0, 40.0, 100.0, 60.0), margin=2.0)
    assert cut.shape == (40, 40, 3)
    np.testing.assert_array_equal(cut, image[20:60, 60:100])


def test_a_canvas_draws_where_it_was_told():
    canvas = Canvas(80, 60)
    canvas.disc(40, 30, 10, (255, 0, 0))
    picture = canvas.picture()
    assert tuple(picture[30, 40]) == (255, 0, 0) and tuple(picture[30, 55]) == tuple(picture[0, 0])
