"""Deep autoencoding Gaussian mixture model.

Zong et al., Deep Autoencoding Gaussian Mixture Model for Unsupervised Anomaly Detection, ICLR 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from torch.nn.functional import cosine_similarity

from memae.networks import tabular
from memae.scoring import Floats
from reproduction.baselines.descent import descend

LEAST_VARIANCE = 1e-6
"""Added to the diagonal of each covariance, so that it can be inverted."""
TINY = 1e-12


class Mixture(NamedTuple):
    """A mixture of k Gaussians."""

    weights: Tensor  # (k,), sums to 1
    means: Tensor  # (k, c)
    covariances: Tensor  # (k, c, c)

    def energy(self, z: Tensor) -> Tensor:
        """−log of the density of each `(b, c)` → `(b,)`; Eq. 6 there."""
        gaussians = MultivariateNormal(self.means, self.covariances, validate_args=False)
        density: Tensor = MixtureSameFamily(Categorical(probs=self.weights), gaussians).log_prob(z)  # type: ignore[no-untyped-call]
        return -density


def mixture(z: Tensor, membership: Tensor) -> Mixture:
    """The mixture of features `(b, c)` with memberships `(b, k)` in the components; Eq. 5 there."""
    weight = membership.sum(0)
    means = membership.T @ z / weight[:, None]
    apart = z[:, None] - means
    covariances = torch.einsum("bk,bki,bkj->kij", membership, apart, apart) / weight[:, None, None]
    return Mixture(weight / len(z), means, covariances + LEAST_VARIANCE * torch.eye(z.shape[1], dtype=z.dtype))


class DeepAutoencodingGaussianMixture(nn.Module):
    """An autoencoder whose code and errors follow a Gaussian mixture; a second network predicts the memberships.

    Sizes, rate, batch and weights of the loss are those of section 4.3 there for KDDCUP.

    Args:
        widths: of the encoder; tanh follows all layers but the last.
        epochs: passes over the training rows.
        components: of the mixture.
        seed: of weights and order.
        rate: first learning rate.
        batch: rows a step; the mixture of a step is that of its rows.
    """

    def __init__(
        self,
        widths: Sequence[int] = (60, 30, 10, 1),
        *,
        epochs: int,
        components: int = 4,
        seed: int = 0,
        rate: float = 1e-4,
        batch: int = 1024,
    ) -> None:
        super().__init__()
        self.widths, self.epochs, self.components = tuple(widths), epochs, components
        self.seed, self.rate, self.batch = seed, rate, batch

    def build(self, columns: int) -> None:
        """Initialises the weights by the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.encoder = tabular.encoder(columns, self.widths)[:-1]
            self.decoder = tabular.decoder(columns, self.widths)
            self.estimation = nn.Sequential(
                nn.Linear(self.widths[-1] + 2, 10), nn.Tanh(), nn.Dropout(0.5), nn.Linear(10, self.components)
            )

    def fit(self, training: Tensor, held_out: Tensor) -> Self:
        """Learns normal rows `(n, d)`."""
        self.build(training.shape[1])
        with torch.random.fork_rng(devices=[]):  # dropout
            torch.manual_seed(self.seed)
            self.history = descend(
                self,
                self.loss,
                training,
                held_out,
                epochs=self.epochs,
                rate=self.rate,
                seed=self.seed,
                batch=self.batch,
            )
        self.fit_mixture(training)
        return self

    @torch.no_grad()
    def fit_mixture(self, training: Tensor) -> None:
        """The mixture of all training rows, by which others are scored."""
        z = self.features(training)[1]
        self.mixture = mixture(z.double(), self.estimation(z).double().softmax(1))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error of each row `(b,)`; its code, relative error and cosine to its restoration `(b, c + 2)`."""
        code = self.encoder(x)
        x_hat = self.decoder(code)
        error = (x - x_hat).square().sum(1)
        relative = (error + TINY).sqrt() / x.norm(dim=1).clamp_min(TINY)
        return error, torch.cat([code, relative[:, None], cosine_similarity(x, x_hat)[:, None]], 1)

    def loss(self, x: Tensor, random: torch.Generator) -> Tensor:  # noqa: ARG002 (no noise)
        """Eq. 7 there, of each row: error + 0.1 energy + 0.005 penalty on small variances `(b,)`."""
        error, z = self.features(x)
        precise = z.double()  # in float32, covariances near to singular cannot be factorised
        found = mixture(precise, self.estimation(z).double().softmax(1))
        variances = found.covariances.diagonal(dim1=1, dim2=2)
        loss: Tensor = error + 0.1 * found.energy(precise) + 0.005 * variances.reciprocal().sum()
        return loss.to(x.dtype)

    @torch.no_grad()
    def anomaly_score(self, rows: Tensor) -> Floats:
        """The energy `(n,)`."""
        self.eval()
        found: Floats = self.mixture.energy(self.features(rows)[1].double()).numpy()
        return found
