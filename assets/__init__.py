"""What is stored and loaded: head models, names, landmark embeddings, presets, the sample capture."""

from assets.blendshapes import ARKIT_BLENDSHAPES as ARKIT_BLENDSHAPES
from assets.blendshapes import BlendshapeWeights as BlendshapeWeights
from assets.errors import ReconError as ReconError
from assets.head_model import HeadModel as HeadModel
from assets.heads import load_head as load_head
from assets.landmark_schemes import SCHEMES as SCHEMES
from assets.landmark_schemes import scheme_points as scheme_points
from assets.landmarks import LandmarkEmbedding as LandmarkEmbedding
from assets.landmarks import load_embedding as load_embedding
from assets.mappings import mapping as mapping
from assets.mediapipe_edges import mediapipe_face_edges as mediapipe_face_edges
from assets.subdivide import subdivide_embedding as subdivide_embedding
from assets.subdivide import subdivide_head as subdivide_head
