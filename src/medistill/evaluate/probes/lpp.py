"""LP++: a linear probe that starts from the text classifier and learns how far to trust it."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

ROUNDS = 30
"""Each of ten steps of w and one of alpha: the authors' 300 steps."""
_TRUST = 250.0  # the authors' factor of the first alpha
_WITHIN = 10  # steps of the prototypes for one of alpha, as the authors take them
_LEAST = 1e-12


class LPPlusPlus(ClassifierMixin, BaseEstimator):
    """Huang et al., CVPR 2024: prototypes of the images plus so much of the texts, class by class.

        logit_ik = f_i (w_k + alpha_k t_k),  argmin_w,alpha  - mean_i log softmax(logit_i)[y_i]

    by block coordinate majorize-minimize: step sizes and the start come from the data, nothing is tuned and
    nothing validated. Left out of the authors' code: momentum, a bias, and the choice of the best step on
    validation data, none of which their method has. Embeddings and texts are made unit.

    text_embeddings   a row a class, in the order of the sorted classes.
    rounds            each of ten steps of w and one of alpha.
    """

    def __init__(self, text_embeddings: Any, rounds: int = ROUNDS) -> None:
        self.text_embeddings = text_embeddings
        self.rounds = rounds

    def fit(self, X: Any, y: Any) -> "LPPlusPlus":  # noqa: N803
        checked: Any = validate_data(self, X, y, dtype="float64")
        rows, y = checked
        check_classification_targets(y)
        self.classes_, place = np.unique(y, return_inverse=True)
        texts = np.asarray(self.text_embeddings, dtype=np.float64)
        if len(self.classes_) < 2:
            raise ValueError(f"LPPlusPlus needs two classes or more; y holds {len(self.classes_)} class")
        expected = (len(self.classes_), rows.shape[1])
        if texts.shape != expected:
            raise ValueError(
                f"text_embeddings has shape {texts.shape}, expected {expected}: a row a class, "
                "as wide as the image embeddings"
            )
        own = np.eye(len(self.classes_))[place]
        prototypes, alpha = blend(_unit(rows)[None], own, _unit(texts)[None], rounds=self.rounds)
        self.prototypes_, self.alpha_ = prototypes[0], alpha[0]
        self.coef_ = self.prototypes_ + self.alpha_[:, None] * _unit(texts)
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Logits (n, classes); of two classes the second's less the first's (n,)."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        return softmax(self._logits(X), axis=1)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        place = self._logits(X).argmax(axis=1)
        return self.classes_[place]

    def _logits(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype="float64", reset=False)
        return _unit(rows) @ self.coef_.T


def blend(
    images: Float[np.ndarray, "b n d"],
    own: Float[np.ndarray, "n k"],
    texts: Float[np.ndarray, "b k d"],
    *,
    rounds: int,
) -> tuple[Float[np.ndarray, "b k d"], Float[np.ndarray, "b k"]]:
    """Prototypes w and alpha of b fits of LP++ at once, to the same classes in the same order.

        start   w_k = sum of the class's images,  alpha = 250 * mean over classes of mean_i f_i t_k
        steps   w: 4 n / largest eigenvalue of sum_i f_i f_i',  alpha: n / (4 max_k sum_i (f_i t_k)^2)

    No step raises the loss: its curvature along w is at most the eigenvalue / (2 n), along alpha at most
    the sum / (2 n).

    own   1 at each image's class, else 0.
    """
    n = images.shape[1]
    along = images @ texts.transpose(0, 2, 1)
    w = own.T @ images
    trust = ((own * along).sum(axis=1) / own.sum(axis=0)).mean(axis=1)
    alpha = np.repeat(_TRUST * trust[:, None], own.shape[1], axis=1)
    # For w 2 / L, by the bound L of the curvature above: the longest step that never climbs.
    largest = np.linalg.norm(images, ord=2, axis=(1, 2)) ** 2
    step = (4 * n / np.maximum(largest, _LEAST))[:, None, None]
    alpha_step = n / (4 * np.maximum((along**2).sum(axis=1).max(axis=1), _LEAST))[:, None]

    def slope() -> Float[np.ndarray, "b n k"]:
        logits = images @ w.transpose(0, 2, 1) + alpha[:, None] * along
        return (softmax(logits, axis=2) - own) / n

    for _ in range(rounds):
        for _ in range(_WITHIN):
            w = w - step * (slope().transpose(0, 2, 1) @ images)
        alpha = alpha - alpha_step * (slope() * along).sum(axis=1)
    return w, alpha


def _unit(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _LEAST)
