from __future__ import annotations

import logging
import warnings
from contextlib import suppress

import pytest
from lightning.fabric.utilities.warnings import PossibleUserWarning

from itnet_train.console import format_scores, print_status, quiet_lightning


def test_advice_is_silenced_and_warnings_are_not() -> None:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet_lightning():
            assert not logger.isEnabledFor(logging.INFO)
            warnings.warn("more workers would be faster", PossibleUserWarning, stacklevel=1)
            warnings.warn("another precision is used", UserWarning, stacklevel=1)
    assert [str(item.message) for item in caught] == ["another precision is used"]
    assert logger.level == level


def test_a_stderr_that_is_full_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr("sys.stderr", full)
        print_status("epoch 1")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()


def test_what_is_said_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(format_scores({"loss": 0.12345, "accuracy": 1.0}))
    assert capsys.readouterr() == ("", "loss 0.1235  accuracy 1.0000\n")
