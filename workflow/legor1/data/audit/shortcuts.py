"""How well the state label is told by what is no picture: words, file, size, place in the file.

Each classifier sees one of these alone and is cross-validated by manual; 0.5 is chance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from legor1.core.errors import UserError
from legor1.core.files import Rejected, locate
from legor1.data.audit.finding import Finding, accuracy
from legor1.data.audit.material import SIDES, Material, Record
from legor1.tasks.discovery import of_kind
from legor1.tasks.metrics.binary import confusion

FOLDS = 5
Classifier = Callable[[], Any]


def findings(material: Material) -> list[Finding]:
    """Return the finding of each classifier; without a tree, the file is not measured."""
    rows = material.every("plain", *of_kind("yes_no"))
    sizes = [[row["width"], row["height"], row["width"] / row["height"]] for row in rows]
    files = [[*_file(material, row), *size] for row, size in zip(rows, sizes, strict=True)]
    source = "state_source_shortcut"
    return [
        _finding("state_label_in_prompt", "the query's words", rows, _words(rows), _linear),
        _finding(source, "the image's width and height", rows, np.array(sizes), _tree),
        _finding(
            source,
            "the file's bytes and format, width and height",
            rows if material.tree else [],
            np.array(files),
            _tree,
        ),
        _finding(source, "the place in the file of conversations", rows, _places(material), _tree),
    ]


def _finding(
    defect: str, seen: str, rows: Sequence[Record], features: Any, classifier: Classifier
) -> Finding:
    labels = np.array(["Yes" in row["response"] for row in rows])
    manuals = [row["manual"] for row in rows]
    measured = f"balanced accuracy on the state label from {seen} alone"
    folds = min(FOLDS, len(set(manuals)))
    if folds < 2 or labels.all() or not labels.any():
        return accuracy(defect, measured, [], [])
    predicted = _cross_validated(features, labels, manuals, folds, classifier)
    pairs = zip(predicted.tolist(), labels.tolist(), strict=True)
    return accuracy(defect, measured, [confusion(said, true) for said, true in pairs], manuals)


def _cross_validated(
    features: Any, labels: np.ndarray, manuals: list[str], folds: int, classifier: Classifier
) -> np.ndarray:
    """Return (n,) predictions, each by a classifier that saw no row of the same manual."""
    from sklearn.model_selection import GroupKFold

    predicted = np.zeros(len(labels), dtype=bool)
    for fitted, held_out in GroupKFold(folds).split(labels, labels, manuals):
        if labels[fitted].all() or not labels[fitted].any():
            predicted[held_out] = labels[fitted][0]
            continue
        model = classifier().fit(features[fitted], labels[fitted])
        predicted[held_out] = model.predict(features[held_out])
    return predicted


def _words(rows: list[Record]) -> Any:
    """Return the presence of the commonest words and pairs of words in each query, sparse."""
    from sklearn.feature_extraction.text import CountVectorizer

    if not rows:
        return None
    vectorizer = CountVectorizer(binary=True, ngram_range=(1, 2), max_features=5000)
    return vectorizer.fit_transform([row["prompt"] for row in rows])


def _places(material: Material) -> np.ndarray:
    """Return (n, 4): how far down its file a row stands, and its number modulo 2, 3 and 4."""
    places = []
    for side in SIDES:
        lines = material.conversations["plain"][side]
        for number, row in enumerate(lines):
            if row["task"] in of_kind("yes_no"):
                places.append([number / len(lines), number % 2, number % 3, number % 4])
    return np.array(places)


def _file(material: Material, row: Record) -> list[float]:
    if material.tree is None:
        return []
    try:
        size = locate(material.tree.resolve(), row["image"]).stat().st_size
    except (Rejected, OSError) as error:
        raise UserError(
            f"{material.tree / row['image']}: {error}. "
            "Remedy: index the tree again with 'legor1 index'."
        ) from error
    suffix = row["image"].rpartition(".")[2].lower()
    return [size, size / (row["width"] * row["height"]), float(suffix in ("jpg", "jpeg"))]


def _linear() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(class_weight="balanced", max_iter=1000)


def _tree() -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(min_samples_leaf=5, class_weight="balanced", random_state=0)
