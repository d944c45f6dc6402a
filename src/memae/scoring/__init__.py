"""What a score means: higher = more anomalous. From raw samples to scores, thresholds and p-values."""

from memae.scoring.scorer import Floats, Network, Scaling, Scorer, Scores, chunk_size, decoded_items

__all__ = ["Floats", "Network", "Scaling", "Scorer", "Scores", "chunk_size", "decoded_items"]
