"""Avatar folders: exact round trip, nothing half-written, broken ones refused in plain words."""

import dataclasses
import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.spatial.transform import Rotation

from assets.errors import ArtifactError, InputError, MissingAssetError, ReconError
from recon.avatar import FittedView, NamedExpression, ShapeEvidence
from recon.storage import FILES, OPTIONAL_FILES, load_avatar, save_avatar
from render.camera import Camera
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(24, 32)


def rigid(rng: np.random.Generator) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(rng.normal(size=3)).as_matrix(), rng.normal(size=3)
    return T


def views() -> tuple[FittedView, ...]:
    rng = np.random.default_rng(1)
    T_cam_world = rigid(rng)
    camera = Camera(np.array([[1001 / 3, 0, 405.1], [0, 999.7, 540 / 7], [0, 0, 1]]), T_cam_world, 810, 1080)
    lost = FittedView("clip.mp4#000003", "no_face", 'no face; "covered"', None, None, {}, np.nan, np.nan, np.nan, np.nan)
    return (FittedView("a.jpg", "ok", "", camera, rigid(rng), {"jawOpen": 0.1 + 0.2}, 1 / 3, -80.1, 2e-17, 4.0), lost)


def an_avatar(**changes):
    T_world_head = rigid(np.random.default_rng(2))
    return toy_avatar(HEAD, **({"views": views(), "notes": ("one photo only: no ears ä",), "T_world_head": T_world_head} | changes))


def a_rich_avatar(seed: int = 4, **changes):
    """One with everything that an avatar may have, and nothing symmetric."""
    rng = np.random.default_rng(seed)
    first, lost = views()
    smirk = NamedExpression(
        "smirk: ä", {"mouthSmileLeft": 0.1 + 0.2, "browDownRight": 1e-5}, ("a.jpg",), 'says "no"', "on: Mondays # rarely"
    )
    fields = {
        "normal_map": rng.integers(0, 256, (48, 40, 3), dtype=np.uint8),
        "hair_mask": rng.integers(0, 2, (64, 64), dtype=np.uint8) * 255,
        "shape_corrections": {name: rng.normal(0, 1e-3, HEAD.vertices.shape).astype(np.float32) for name in ("mouthSmileLeft", "jawOpen")},
        "shape_evidence": {"mouthSmileLeft": ShapeEvidence(6, 2, 1 / 3)},
        "expressions": (smirk, NamedExpression("yes", {})),
        "views": (dataclasses.replace(first, gain_linear=(1 / 3, 0.9, 1.7)), lost),
    }
    return an_avatar(**(fields | changes))


def same(a, b) -> bool:
    """Equal to the bit, dtypes included, through nested records; nan equals nan."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def test_round_trip_is_exact_to_the_bit(tmp_path):
    avatar = an_avatar()
    folder = save_avatar(tmp_path / "new" / "avatar", avatar)
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    loaded = load_avatar(folder, head=HEAD)
    assert same(loaded, avatar)
    assert not same(dataclasses.replace(loaded, offsets=np.nextafter(loaded.offsets, np.float32(1))), avatar)


def test_everything_that_an_avatar_may_have_makes_the_round_trip_to_the_bit(tmp_path):
    avatar = a_rich_avatar()
    folder = save_avatar(tmp_path / "avatar", avatar)
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES + OPTIONAL_FILES)
    loaded = load_avatar(folder, head=HEAD)
    assert same(loaded, avatar) and not same(loaded, an_avatar())
    lost = {"normal_map": None, "hair_mask": None, "shape_corrections": {}, "shape_evidence": {}, "expressions": (), "views": views()}
    for name, value in lost.items():
        assert not same(dataclasses.replace(loaded, **{name: value}), avatar), f"{name} takes no part in the comparison"


def test_what_an_older_avatar_had_and_the_newer_has_not_goes_with_it(tmp_path):
    folder = save_avatar(tmp_path / "avatar", a_rich_avatar())
    save_avatar(folder, an_avatar())
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert same(load_avatar(folder, head=HEAD), an_avatar())


def test_expressions_are_read_as_the_user_left_them(tmp_path):
    folder = save_avatar(tmp_path / "avatar", a_rich_avatar())
    path = folder / "expressions.yaml"
    path.write_text(path.read_text().replace("smirk: ä", "sceptical").replace('says "no"', "doubts it").replace("1.0e-05", "1e-3"))
    loaded = load_avatar(folder, head=HEAD).expressions
    assert [e.name for e in loaded] == ["sceptical", "yes"] and loaded[0].meaning == "doubts it"
    assert dict(loaded[0].weights) == {"mouthSmileLeft": 0.1 + 0.2, "browDownRight": 0.001}
    path.unlink()
    assert load_avatar(folder, head=HEAD).expressions == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- name: a\n  weights: {jawOpn: 1}", "jawOpen"),
        ("- name: a\n  weights: {jawOpen: wide}", "wide"),
        ("- name: a\n  weights: {jawOpen: yes}", "True"),
        ("- name: 1\n  weights: {}", "quotes"),
        ("- name: ' '\n  weights: {}", "a name"),
        ("- name: a", "name and weights"),
        ("- {name: a, weights: {}, weihgts: {}}", "weihgts"),
        ("- {name: a, weights: {}}\n- {name: a, weights: {}}", "2 times"),
        ("- {name: a, weights: {}, views: a.jpg}", "list of pictures"),
        ("- {name: [", "YAML"),
        ("  7", "a list under"),
    ],
)
def test_an_expression_that_somebody_edited_wrongly_is_named_with_its_place(tmp_path, text, message):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    (folder / "expressions.yaml").write_text("expressions:\n" + text)
    with pytest.raises(ArtifactError, match=message) as refusal:
        load_avatar(folder, head=HEAD)
    assert str(folder / "expressions.yaml") in str(refusal.value)


def test_two_expressions_of_one_name_are_refused_before_anything_is_written(tmp_path):
    twice = (NamedExpression("a", {}), NamedExpression("a", {"jawOpen": 1.0}))
    with pytest.raises(ArtifactError, match="2 times"):
        save_avatar(tmp_path / "avatar", an_avatar(expressions=twice))
    assert list(tmp_path.iterdir()) == []


def version_1(folder) -> None:
    """Rewrite a folder as version 1 wrote it: the record frozen here, key by key, as it was on disk then."""
    record = json.loads((folder / "avatar.json").read_text())
    kept = ("schema", "head", "scale", "scale_error", "scale_source", "region_sd_mm", "expression_scale", "landmarks", "notes")
    view_keys = ("name", "status", "reason", "camera", "T_world_head", "weights", "correction")
    view_keys += ("residual_px", "yaw_deg", "pitch_deg", "roll_deg")
    older = {key: record[key] for key in kept} | {"schema_version": 1}
    older["views"] = [{key: view[key] for key in view_keys} for view in record["views"]]
    (folder / "avatar.json").write_text(json.dumps(older))


def test_a_folder_of_version_1_is_read_as_an_avatar_without_what_came_later(tmp_path):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    version_1(folder)
    # A picture that the user put there under a name that version 2 uses is not taken for the avatar's.
    (folder / "normal.png").write_bytes(b"the user's own")
    loaded = load_avatar(folder, head=HEAD)
    assert same(loaded, an_avatar()) and loaded.views[0].gain_linear is None and loaded.shape_corrections == {}
    (folder / "normal.png").unlink()
    save_avatar(folder, loaded)
    assert json.loads((folder / "avatar.json").read_text())["schema_version"] == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape_corrections", ["jawOpn"]),
        ("shape_corrections", ["jawOpen"]),
        ("shape_evidence", {"jawOpn": {"num_views": 1, "num_instants": 1, "max_weight": 1}}),
        ("shape_evidence", {"jawOpen": {"num_views": 1.5, "num_instants": 1, "max_weight": 1}}),
        ("shape_evidence", {"jawOpen": {"num_views": 1, "max_weight": 1}}),
    ],
)
def test_a_record_of_shapes_that_does_not_fit_the_arrays_is_refused(tmp_path, name, value):
    folder = save_avatar(tmp_path / "avatar", a_rich_avatar())
    record = json.loads((folder / "avatar.json").read_text())
    (folder / "avatar.json").write_text(json.dumps(record | {name: value}))
    with pytest.raises(ArtifactError, match="complete avatar record"):
        load_avatar(folder, head=HEAD)


@pytest.mark.parametrize("gain", [[1.0, 0.5], [1, 1, 0], "1.5", [1, 1, "x"]])
def test_a_gain_that_is_none_is_refused(tmp_path, gain):
    folder = save_avatar(tmp_path / "avatar", a_rich_avatar())
    record = json.loads((folder / "avatar.json").read_text())
    record["views"][0]["gain_linear"] = gain
    (folder / "avatar.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match="complete avatar record"):
        load_avatar(folder, head=HEAD)


@pytest.mark.parametrize("name", ["normal.png", "hair.png"])
def test_a_map_that_the_record_promises_and_that_is_gone_or_broken_is_named(tmp_path, name):
    folder = save_avatar(tmp_path / "avatar", a_rich_avatar())
    (folder / name).write_bytes((folder / name).read_bytes()[:60])
    with pytest.raises(ArtifactError, match=name):
        load_avatar(folder, head=HEAD)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_avatar(folder, head=HEAD)


def test_the_record_states_head_licence_scale_and_schema(tmp_path):
    record = json.loads((save_avatar(tmp_path / "avatar", an_avatar()) / "avatar.json").read_text())
    assert record["schema_version"] == 2 and record["scale"] == "relative"
    assert record["head"]["topology_hash"] == HEAD.topology_hash and record["head"]["licence"] == "CC0"
    assert record["views"][1]["residual_px"] is None


def test_saving_over_an_avatar_replaces_it_and_keeps_the_users_files(tmp_path):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    (folder / "mine.glb").write_bytes(b"keep")
    newer = an_avatar(seed=9)
    save_avatar(folder, newer)
    assert same(load_avatar(folder, head=HEAD), newer)
    assert (folder / "mine.glb").read_bytes() == b"keep"
    assert [p.name for p in tmp_path.iterdir()] == ["avatar"]


def test_a_failed_save_leaves_the_older_avatar_whole(tmp_path, monkeypatch):
    avatar = an_avatar()
    folder = save_avatar(tmp_path / "avatar", avatar)

    def disk_full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recon.storage.Image.Image.save", disk_full)
    with pytest.raises((OSError, InputError), match="No space left"):
        save_avatar(folder, an_avatar(seed=9))
    assert same(load_avatar(folder, head=HEAD), avatar)
    assert [p.name for p in tmp_path.iterdir()] == ["avatar"]


def test_a_folder_with_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="holds something else"):
        save_avatar(tmp_path / "photos", an_avatar())
    assert (tmp_path / "photos" / "me.jpg").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        load_avatar(folder, head=HEAD)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(tmp_path, name):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        load_avatar(folder, head=HEAD)


def test_the_size_of_expressions_is_kept_and_older_folders_have_one(tmp_path):
    folder = save_avatar(tmp_path / "avatar", an_avatar(expression_scale=1 / 3))
    assert load_avatar(folder, head=HEAD).expression_scale == 1 / 3
    record = json.loads((folder / "avatar.json").read_text())
    for text, expected in (({}, 1.0), ({"expression_scale": -1}, None), ({"expression_scale": "x"}, None)):
        older = {key: value for key, value in record.items() if key != "expression_scale"} | text
        (folder / "avatar.json").write_text(json.dumps(older))
        if expected is not None:
            assert load_avatar(folder, head=HEAD).expression_scale == expected
        else:
            with pytest.raises(ArtifactError, match="expression_scale"):
                load_avatar(folder, head=HEAD)


@pytest.mark.parametrize(
    ("in_view", "name", "value"),
    [
        (False, "scale", "huge"),
        (False, "scale_error", 0),
        (False, "region_sd_mm", ["nose"]),
        (True, "status", "fine"),
        (True, "residual_px", "1.5"),
        (True, "T_world_head", [[1, 0], [0, 1]]),
        (True, "weights", {"jawOpen": "wide"}),
        (True, "correction", True),
    ],
)
def test_a_record_that_somebody_edited_wrongly_is_refused_and_not_met_later(tmp_path, in_view, name, value):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    record = json.loads((folder / "avatar.json").read_text())
    (record["views"][0] if in_view else record)[name] = value
    (folder / "avatar.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match="complete avatar record"):
        load_avatar(folder, head=HEAD)


def test_a_figure_that_is_not_finite_is_refused_before_anything_is_written(tmp_path):
    first, lost = views()
    broken = an_avatar(views=(dataclasses.replace(first, weights={"jawOpen": float("nan")}), lost))
    with pytest.raises(ArtifactError, match="finite"):
        save_avatar(tmp_path / "avatar", broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(13, "Permission denied")])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(5))
def test_breaking_off_at_any_rename_loses_neither_an_avatar_nor_the_users_files(tmp_path, monkeypatch, call, after, error):
    """Renames while saving: two files of the user's, the older folder away, the new one in; the fifth never comes."""
    older, newer = an_avatar(), an_avatar(seed=9)
    folder = save_avatar(tmp_path / "avatar", older)
    (folder / "mine.glb").write_bytes(b"keep")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_bytes(b"keep too")
    calls, rename = [], os.replace

    def stopping(source, target):
        calls.append(source)
        if len(calls) == call + 1:
            if after:
                rename(source, target)
            raise error
        rename(source, target)

    monkeypatch.setattr("recon.storage.os.replace", stopping)
    if call < 4:
        with pytest.raises((KeyboardInterrupt, OSError)):
            save_avatar(folder, newer)
    else:
        save_avatar(folder, newer)
        assert len(calls) == 4
    monkeypatch.undo()
    replaced = call == 4 or (call == 3 and after)
    assert same(load_avatar(folder, head=HEAD), newer if replaced else older)
    assert (folder / "mine.glb").read_bytes() == b"keep" and (folder / "notes" / "a.txt").read_bytes() == b"keep too"
    assert [p.name for p in tmp_path.iterdir()] == ["avatar"]


def test_where_even_putting_back_fails_nothing_is_deleted(tmp_path, monkeypatch):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    (folder / "mine.glb").write_bytes(b"keep")
    rename = os.replace

    def failing(source, target):
        if target == folder:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr("recon.storage.os.replace", failing)
    with pytest.raises(OSError, match="Input/output"):
        save_avatar(folder, an_avatar(seed=9))
    monkeypatch.undo()
    assert [path.read_bytes() for path in tmp_path.rglob("mine.glb")] == [b"keep"]
    (old,) = (path.parent for path in tmp_path.rglob("avatar.json"))
    assert same(load_avatar(old, head=HEAD), an_avatar())


@pytest.mark.parametrize("version", [3, 0, "2", None, True])
def test_a_schema_version_that_is_not_known_is_refused_by_name(tmp_path, version):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    record = json.loads((folder / "avatar.json").read_text())
    (folder / "avatar.json").write_text(json.dumps(record | {"schema_version": version}))
    with pytest.raises(ArtifactError, match=rf"from 1 to 2[^$]*version {version}"):
        load_avatar(folder, head=HEAD)


def test_another_topology_is_refused(tmp_path):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    other = toy_head(24, 34)
    with pytest.raises(ArtifactError, match=HEAD.topology_hash):
        load_avatar(folder, head=other)


def test_numbers_that_are_not_finite_are_refused_at_both_ends(tmp_path):
    offsets = np.zeros_like(HEAD.vertices)
    offsets[17, 2] = np.nan
    with pytest.raises(ArtifactError, match=r"offsets[^$]*\(17, 2\)"):
        save_avatar(tmp_path / "bad", an_avatar(offsets=offsets))
    assert not (tmp_path / "bad").exists()
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    tensors = load_file(folder / "avatar.safetensors")
    tensors["identity_coeffs"] = np.array([0, np.inf, 0], np.float32)
    save_file(tensors, folder / "avatar.safetensors")
    with pytest.raises(ArtifactError, match="identity_coeffs"):
        load_avatar(folder, head=HEAD)


def test_a_head_of_the_same_mesh_but_other_shapes_is_refused(tmp_path):
    """FLAME 2020 and 2023 share one mesh: the coefficients of one mean another person on the other."""
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    basis = HEAD.identity_basis.copy()
    basis[1, 7, 2] += 1e-4
    with pytest.raises(ArtifactError, match="other average head or identity basis"):
        load_avatar(folder, head=dataclasses.replace(HEAD, identity_basis=basis))
    changed_expressions = dataclasses.replace(HEAD, blendshape_deltas=HEAD.blendshape_deltas * 1.1)
    assert load_avatar(folder, head=changed_expressions).head is changed_expressions
    record = json.loads((folder / "avatar.json").read_text())
    del record["head"]["shape_hash"]
    (folder / "avatar.json").write_text(json.dumps(record))
    assert load_avatar(folder, head=dataclasses.replace(HEAD, identity_basis=basis)), "an older folder is taken at its word"


def stored_under(tmp_path, name: str, **head_changes):
    """An avatar folder whose record says that its head has another name."""
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    record = json.loads((folder / "avatar.json").read_text())
    record["head"] |= {"name": name, **head_changes}
    (folder / "avatar.json").write_text(json.dumps(record))
    return folder


def told(folder, error_type: type[ReconError]) -> ReconError:
    with pytest.raises(error_type) as refusal:
        load_avatar(folder)
    assert str(folder) in refusal.value.expected and "recon fit" in refusal.value.do
    return refusal.value


def test_an_avatar_whose_head_is_not_installed_says_which_and_how(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    error = told(stored_under(tmp_path, "ict"), MissingAssetError)
    assert "'ict'" in error.expected and "recon assets install ict-facekit" in error.do


def test_an_avatar_whose_flame_file_has_moved_names_both_places_where_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    error = told(stored_under(tmp_path, "flame:/nowhere/FLAME2020.pkl+1"), MissingAssetError)
    assert "/nowhere/FLAME2020.pkl" in error.got and str(tmp_path / "home" / "flame" / "FLAME2020.pkl") in error.do


def test_a_copy_of_the_flame_file_in_the_users_data_folder_is_taken_with_the_licence_of_the_fit(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    copy = tmp_path / "home" / "flame" / "model.npz"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"")
    asked = []
    monkeypatch.setattr("recon.stored_head.load_head", lambda name, licence=None: asked.append((name, licence)) or HEAD)
    load_avatar(stored_under(tmp_path, "flame:/gone/model.npz+2", commercial=True))
    load_avatar(stored_under(tmp_path, "flame:/gone/model.npz", commercial=False))
    assert asked == [(f"flame:{copy}+2", "cc-by-4.0"), (f"flame:{copy}", None)]


def test_a_head_name_that_no_version_knows_is_refused(tmp_path):
    assert "'smplx'" in told(stored_under(tmp_path, "smplx"), ArtifactError).expected
