"""What is stored and loaded: head models, names, landmark embeddings, presets, the sample capture."""

from assets.blendshapes import ARKIT_BLENDSHAPES as ARKIT_BLENDSHAPES
from assets.errors import ReconError as ReconError
from assets.head_model import HeadModel as HeadModel
from assets.heads import load_head as load_head
from assets.landmarks import LandmarkEmbedding as LandmarkEmbedding
from assets.landmarks import load_embedding as load_embedding
from assets.landmarks import save_embedding as save_embedding
from assets.mediapipe_edges import mediapipe_face_edges as mediapipe_face_edges
