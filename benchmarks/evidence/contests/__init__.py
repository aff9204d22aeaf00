"""All contests."""

from evidence.contests.ablations import ABLATIONS
from evidence.contests.audio import LANGUAGES
from evidence.contests.fields import ANTIDERIVATIVE, BURGERS, DARCY
from evidence.contests.images import CIFAR, FASHION
from evidence.contests.joint import EASY_VQA, EASY_VQA_PAIRS
from evidence.contests.points import FURNITURE
from evidence.contests.sequences import AGREEMENT, CHARACTERS, DYCK, LISTOPS, PIXELS, RECALL, WORD_ORDER
from evidence.contests.series import SERIES
from evidence.contests.transfer import MINILM

CONTESTS = (
    FASHION,
    CIFAR,
    LANGUAGES,
    FURNITURE,
    EASY_VQA,
    EASY_VQA_PAIRS,
    RECALL,
    LISTOPS,
    DYCK,
    AGREEMENT,
    WORD_ORDER,
    CHARACTERS,
    PIXELS,
    *SERIES,
    DARCY,
    BURGERS,
    ANTIDERIVATIVE,
    MINILM,
    *ABLATIONS,
)
