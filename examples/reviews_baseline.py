"""TF-IDF and logistic regression on the very samples of examples/reviews.yaml: python examples/reviews_baseline.py."""

from __future__ import annotations

from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from itnet_registry import create, load_config


def main() -> None:
    """Choose the regularisation by cross-validation on the samples for training and validation; score on the test."""
    config = load_config(Path(__file__).with_name("reviews.yaml"))
    task = create("task", **config["model"]["task"])
    texts, labels = [], []
    for split in ("train", "validation"):
        samples = task.dataset(split)
        texts += [samples[index].inputs for index in range(len(samples))]
        labels += samples.labels
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000))
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.3, 1, 3, 10, 30]}).fit(texts, labels)
    test = task.dataset("test")
    accuracy = search.score([test[index].inputs for index in range(len(test))], test.labels)
    print(f"test: accuracy {accuracy:.4f}  ({len(texts)} and {len(test)} sentences, {search.best_params_})")


if __name__ == "__main__":
    main()
