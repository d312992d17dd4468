"""Calibrated cameras from the files of other tools; docs/cameras.md has the table of formats."""

from recon.rig.colmap import write_colmap as write_colmap
from recon.rig.door import KNOWN_FORMATS as KNOWN_FORMATS
from recon.rig.door import load_rig as load_rig
from recon.rig.door import reread as reread
from recon.rig.door import rig_files as rig_files
from recon.rig.match import NoPictureError as NoPictureError
from recon.rig.match import with_cameras as with_cameras
from recon.rig.plain import save_cameras_json as save_cameras_json
from recon.rig.records import CameraAxes as CameraAxes
from recon.rig.records import CameraUnit as CameraUnit
from recon.rig.records import Rig as Rig
from recon.rig.records import RigCamera as RigCamera
from recon.rig.transforms import write_transforms as write_transforms

CAMERAS_FILE = "cameras.json"
"""Looked for beside the pictures of a capture."""
