"""Bases that tasks of all modalities share: labelled data, splits, losses and metrics."""

from __future__ import annotations

from itnet_tasks.class_folders import class_files, class_names
from itnet_tasks.classification import Classification, Smoothing
from itnet_tasks.dataset import Labelled, LabelledDataset, OnBadSample, Sample, warn_skipped
from itnet_tasks.errors import SkippedSampleWarning
from itnet_tasks.files import check_inside, decode_text, open_data, read_data
from itnet_tasks.folder import FolderClassification
from itnet_tasks.labelled_task import LabelledTask
from itnet_tasks.learned_task import LearnedTask, typical
from itnet_tasks.regression import Regression
from itnet_tasks.split_files import split_files
from itnet_tasks.splits import HeldOut, Share, assign_folds, hold_out, split
from itnet_tasks.values import as_array, one_of, unreadable

__version__ = "0.1.0"

__all__ = [
    "Classification",
    "FolderClassification",
    "HeldOut",
    "Labelled",
    "LabelledDataset",
    "LabelledTask",
    "LearnedTask",
    "OnBadSample",
    "Regression",
    "Sample",
    "Share",
    "SkippedSampleWarning",
    "Smoothing",
    "as_array",
    "assign_folds",
    "check_inside",
    "class_files",
    "class_names",
    "decode_text",
    "hold_out",
    "one_of",
    "open_data",
    "read_data",
    "split",
    "split_files",
    "typical",
    "unreadable",
    "warn_skipped",
]
