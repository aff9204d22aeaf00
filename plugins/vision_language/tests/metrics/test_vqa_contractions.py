from __future__ import annotations

from itnet_vision_language.metrics.vqa_contractions import CONTRACTIONS, without_one_apostrophe


def test_one_apostrophe_is_left_out_at_a_time() -> None:
    assert without_one_apostrophe("dogs") == []
    assert without_one_apostrophe("y'all'd've") == ["yall'd've", "y'alld've", "y'all'dve"]


def test_no_word_is_repaired_that_is_another_without_its_apostrophe() -> None:
    assert not {"its", "were", "hell", "well", "ill", "shell", "id", "wed", "shed"} & set(CONTRACTIONS)


def test_a_repaired_word_is_left_alone() -> None:
    assert not set(CONTRACTIONS.values()) & (set(CONTRACTIONS) - {"ow's'at"})
