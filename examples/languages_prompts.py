"""The prompts that Asterisk's core sounds have in all of five languages, for examples/languages.yaml."""

from __future__ import annotations

import shutil
from pathlib import Path

VOICES = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}

NOTE = """Prompts of Asterisk's core sounds, 8 kHz, in English, Spanish, French, Italian and Russian: those of which all
five languages have one of the same name.

Source: Debian's packages asterisk-core-sounds-{en,es,fr,it,ru}-wav, whose copyright file has the licences in full;
upstream is http://downloads.asterisk.org/pub/telephony/asterisk
English and Spanish: Allison Smith, CC-BY-SA-3.0. French: June Wallack, CC-BY-SA-3.0.
Italian: Carlo Flora, CC-BY-3.0. Russian: provided by Maxim Topal, CC-BY-3.0.
"""


def write(sounds: Path, folder: Path) -> None:
    """Copy the prompts that all five languages have to `folder/<language>/<name>.wav`, and write a licence note.

    Args:
        sounds: the folder of the packages' voices, `usr/share/asterisk/sounds`.
        folder: where the languages' folders are made.

    Raises:
        FileNotFoundError: a voice is not there.
    """
    names = {language: _prompts(sounds / voice) for language, voice in VOICES.items()}
    for name in sorted(set.intersection(*names.values())):
        for language, voice in VOICES.items():
            target = folder / language / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sounds / voice / name, target)
    (folder / "LICENCE.txt").write_text(NOTE)


def _prompts(voice: Path) -> set[Path]:
    prompts = {file.relative_to(voice) for file in voice.rglob("*.wav")}
    if not prompts:
        raise FileNotFoundError(f"{voice}: found no prompts; expected those of the package asterisk-core-sounds")
    return prompts
