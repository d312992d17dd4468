"""Photos of one person in, a fitted 3D head out."""

from recon.avatar import Avatar as Avatar
from recon.capture import Capture as Capture
from recon.capture import CaptureSettings as CaptureSettings
from recon.export import export_mesh as export_mesh
from recon.fitting import FitSettings as FitSettings
from recon.fitting import fit as fit
from recon.ingest import load_capture as load_capture
from recon.ingest import read_view as read_view
from recon.storage import load_avatar as load_avatar
from recon.storage import save_avatar as save_avatar
