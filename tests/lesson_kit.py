"""Material for lessons and cases from the small book: no data, no encoder."""

from __future__ import annotations

from classifiers.frame_lessons import Material, Rephrased
from classifiers.near_names import NearTexts
from classifiers.phrasebook import TRAIN, Phrasebook
from classifiers.scope_cases import CaseMaterial


def small_material(book: Phrasebook) -> Material:
    """Lessons over the training relations of a book."""
    taught = book.only(TRAIN)
    return Material(
        taught=taught,
        asked=taught,
        answers={"P103": ("English", "French"), "P19": ("Paris",)},
        near={"P103": ("P19", "P21")},
        names=("Ada Lovelace", "Kurt Gödel", "Lisbon"),
        sentences=("When {} came home, the rain had stopped.",),
        frequent=("P103",),
        rephrased=(
            Rephrased(edit="Who made x?", query="Who built x?", target="IBM", unlike=("Is x?",)),
        ),
    )


def small_cases(book: Phrasebook) -> CaseMaterial:
    """Cases over the same."""
    questions = ("who won in 1990", "where is the sea", "what is love", "how far is mars")
    return CaseMaterial(
        lessons=small_material(book),
        questions=questions,
        near_names=NearTexts(("Danielle Steel", "Ada Lovelace", "Danielle Darrieux")),
        near_questions=NearTexts((*questions, "when did danielle steel marry")),
    )
