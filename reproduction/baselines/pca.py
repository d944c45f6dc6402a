"""Principal components of pixels: a control that the paper does not have."""

from typing import Self

from sklearn.decomposition import PCA
from torch import Tensor

from memae.scoring import Floats


class PrincipalComponents:
    """Squared error of the reconstruction from the leading components.

    Args:
        components: their number.
    """

    def __init__(self, components: int) -> None:
        self.components = components

    def fit(self, training: Tensor, held_out: Tensor) -> Self:  # noqa: ARG002 (nothing is chosen)
        """Learns normal images `(n, c, h, w)`."""
        self.pca = PCA(self.components, svd_solver="covariance_eigh").fit(training.flatten(1).double().numpy())
        return self

    def anomaly_score(self, images: Tensor) -> Floats:
        """Squared reconstruction error `(n,)`."""
        rows = images.flatten(1).double().numpy()
        found: Floats = ((rows - self.pca.inverse_transform(self.pca.transform(rows))) ** 2).sum(1)
        return found
