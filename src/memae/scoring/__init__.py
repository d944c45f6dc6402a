"""From raw samples to scores (higher = more anomalous), thresholds and p-values."""

from memae.scoring.scorer import Floats, Network, Scaling, Scorer, Scores, chunk_size, decoded_items

__all__ = ["Floats", "Network", "Scaling", "Scorer", "Scores", "chunk_size", "decoded_items"]
