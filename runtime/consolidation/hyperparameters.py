"""The settings of editors: a table by family and depth, and the rule for models not in it.

Each entry says where it comes from. Every value can be set: `dataclasses.replace`, or a mapping
through `with_changes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from typing import Any

from memory.errors import InvalidInput
from runtime.consolidation.targets import Objective
from runtime.consolidation.tokens import FactToken
from runtime.sites import Sites


class Columns(Enum):
    """What a column of K is: a fact's keys averaged over its rows, or each row by itself."""

    MEAN = "mean"
    EACH = "each"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Settings of all editors; each reads those it knows."""

    source: str  # Where the values come from.
    layers: tuple[int, ...]  # MEMIT, AlphaEdit, PMET: ascending; δ is found at the last one.
    rome_layer: int
    fact_token: FactToken = FactToken.SUBJECT_LAST
    columns: Columns = Columns.MEAN
    objective: Objective = field(default_factory=Objective)
    rome_clamp_factor: float = 4.0
    covariance_weight: float = 15000.0  # λ: how many tokens the old associations count for.
    covariance_weight_per_edit: float = 0.0  # Added to λ for each edit of a change after the first.
    covariance_samples: int = 5000  # Texts.
    prefixes: int = 5
    prefix_tokens: int = 10
    contrast_subjects: int = 0  # Rows to keep: each prompt about so many other subjects.
    contrast_sentences: int = 0  # Rows to keep: so many other sentences about the subject.
    contrast_sentences_given: int = (
        0  # At least so many, of a fact that is given in more phrasings.
    )
    contrast_weight: float = 1.0  # What a prompt's row of these counts beside one of a fact's.
    few_facts: int = 0  # A change of so many keeps more, of facts given in more phrasings:
    contrast_subjects_few: int = 0  # at least so many other subjects a prompt, more facts fewer,
    contrast_weight_few: float = 1.0  # which count at least so much.
    refine_passes: float = 0.0  # MEMIT, PMET: over the facts, of descent after the solve; 0: none.
    refine_passes_given: float = 0.0  # At least so many, for facts given in more phrasings.
    refine_below: float = 0.97  # Share of facts taken by the solve from which it is left alone.
    refine_rate: float = 0.03  # In units of what the solve writes (root mean square), a step.
    refine_hold: float = 1.0  # What a nat of change of what should stay weighs beside one missed.
    refine_hold_given: float = 0.0  # At least so much, for facts given in more phrasings.
    refine_subjects: int = 6  # Held: each prompt about so many other subjects.
    refine_sentences: int = 6  # Held: so many other sentences about each subject.
    answers_end: bool = False  # The model was taught to end its answers: the end is a target too.
    nullspace_threshold: float = 2e-2  # AlphaEdit: share of the mean eigenvalue of C.
    nullspace_ridge: float = 10.0  # AlphaEdit: L₂.
    seed: int = 0

    def old_weight(self, facts: int) -> float:
        """Returns λ for a change of so many facts: many of them press harder on what is old."""
        return self.covariance_weight + self.covariance_weight_per_edit * max(0, facts - 1)

    def sentences_kept(self, phrasings: int) -> int:
        """Returns how many other sentences about the subject a fact keeps.

        Of a prompt alone, what reaches its other phrasings is what reaches other sentences, and
        keeping these costs it those; phrasings that are given tell the two apart.
        """
        given = self.contrast_sentences_given if phrasings > 1 else 0
        return max(self.contrast_sentences, given)

    def subjects_kept(self, phrasings: int, facts: int) -> int:
        """Returns how many other subjects each prompt of a fact keeps.

        More facts than `few_facts` share as many as those keep, so that memory stays bounded.
        """
        if phrasings < 2 or not self.few_facts:
            return self.contrast_subjects
        shared = self.contrast_subjects_few * self.few_facts // max(facts, self.few_facts)
        return max(self.contrast_subjects, shared)

    def kept_weight(self, phrasings: int, facts: int) -> float:
        """Returns what one of a fact's kept rows counts, as one of its prompts' share of the fact.

        Few facts can afford that what is near them stays; many press on one another.
        """
        few = facts <= self.few_facts or (
            self.subjects_kept(phrasings, facts) > self.contrast_subjects
        )
        weight = self.contrast_weight_few if phrasings > 1 and few else 0.0
        return max(self.contrast_weight, weight) / phrasings

    def as_settings(self) -> dict[str, object]:
        """Returns all values as plain ones, for an edition's record."""
        return _plain(asdict(self))


_PAPER = Objective(steps=20)
_GPTJ = Objective(steps=25)
_RECENT = Objective(steps=25, weight_decay=1e-3, clamp_factor=4.0)

# Keys: model_type, number of blocks, width of the residual stream.
TABLE: dict[tuple[str, int, int], Hyperparameters] = {
    ("gpt2", 48, 1600): Hyperparameters(
        source="gpt2-xl: kmeng01/memit hparams/MEMIT, hparams/ROME",
        layers=(13, 14, 15, 16, 17),
        rome_layer=17,
        objective=_PAPER,
        covariance_weight=20000.0,
    ),
    ("gpt2", 36, 1280): Hyperparameters(
        source="gpt2-large: ROME's layer 12 (kmeng01/rome); MEMIT's range ends there",
        layers=(8, 9, 10, 11, 12),
        rome_layer=12,
        objective=_PAPER,
        covariance_weight=20000.0,
    ),
    ("gpt2", 24, 1024): Hyperparameters(
        source="gpt2-medium: ROME's layer 8 (kmeng01/rome); MEMIT's range ends there",
        layers=(4, 5, 6, 7, 8),
        rome_layer=8,
        rome_clamp_factor=3.0,
        objective=_PAPER,
        covariance_weight=20000.0,
    ),
    ("gptj", 28, 4096): Hyperparameters(
        source="gpt-j-6B: kmeng01/memit hparams/MEMIT, hparams/ROME",
        layers=(3, 4, 5, 6, 7, 8),
        rome_layer=5,
        objective=_GPTJ,
    ),
    ("gpt_neox", 44, 6144): Hyperparameters(
        source="gpt-neox-20b: xpq-tech/PMET hparams/MEMIT; ROME's layer 15",
        layers=(6, 7, 8, 9, 10),
        rome_layer=15,
        objective=Objective(steps=20, clamp_factor=0.8),
        covariance_weight=6000.0,
    ),
    ("llama", 32, 4096): Hyperparameters(
        source="llama-2-7b: EasyEdit hparams/MEMIT, hparams/ROME",
        layers=(4, 5, 6, 7, 8),
        rome_layer=5,
        objective=_RECENT,
    ),
    ("qwen2", 28, 3584): Hyperparameters(
        source="qwen2.5-7b: EasyEdit hparams/MEMIT, hparams/ROME",
        layers=(4, 5, 6, 7, 8),
        rome_layer=5,
        objective=_RECENT,
        nullspace_ridge=1.0,
    ),
    ("llama", 8, 256): Hyperparameters(
        source="the pocket model: causal tracing and measurement, docs/editors.md",
        layers=(3, 4, 5),
        rome_layer=4,
        fact_token=FactToken.PROMPT_LAST,
        columns=Columns.EACH,
        objective=Objective(
            learning_rate=0.08,
            relative=True,
            weight_decay=0.0,
            kl_factor=0.0,
            clamp_factor=1.0,
            stop_loss=0.0,
        ),
        rome_clamp_factor=1.0,
        covariance_weight=1000.0,
        covariance_weight_per_edit=20.0,
        prefixes=3,
        contrast_subjects=2,
        contrast_sentences_given=3,
        few_facts=50,
        contrast_subjects_few=10,
        contrast_weight_few=4.0,
        refine_passes=20.0,
        refine_passes_given=40.0,
        refine_hold=4.0,
        refine_hold_given=8.0,
        nullspace_threshold=0.3,
        nullspace_ridge=0.1,
        answers_end=True,
    ),
}


def hyperparameters_for(sites: Sites, width: int) -> Hyperparameters:
    """Returns the table's entry for a model, else the rule's values."""
    return TABLE.get((sites.model_type, sites.layers, width)) or rule(sites.layers)


def rule(layers: int) -> Hyperparameters:
    """Returns values for a model of so many blocks that nobody has measured.

    ROME's layers are at a third of the depth in GPT-2's sizes (8 of 24, 12 of 36, 17 of 48), and
    MEMIT's ranges of five or six end there or just before; at small depths the range is a quarter
    of the blocks. The rate is in units of the state's root mean square, because a fixed one moves a
    state of norm 1000 nowhere.
    """
    last = min(max(1, round(layers / 3)), max(0, layers - 2))
    span = max(1, min(5, round(layers / 4)))
    return Hyperparameters(
        source=f"the rule for {layers} blocks: layers that end at a third of the depth",
        layers=tuple(range(max(0, last - span + 1), last + 1)),
        rome_layer=last,
        objective=Objective(learning_rate=0.1, relative=True),
        rome_clamp_factor=0.75,  # Of the residual stream here, as everything relative.
    )


def with_changes(base: Hyperparameters, changes: Mapping[str, Any]) -> Hyperparameters:
    """Returns the settings with named values changed, those of the objective by their own names.

    Raises InvalidInput for a name that is none, naming those that are, or a value of the wrong kind
    or out of range.
    """
    own = {one.name for one in fields(Hyperparameters)} - {"objective"}
    inner = {one.name for one in fields(Objective)}
    unknown = sorted(set(changes) - own - inner)
    if unknown:
        raise InvalidInput(
            f"editor settings has {', '.join(unknown)}; expected some of"
            f" {', '.join(sorted(own | inner))}",
            field=f"settings.{unknown[0]}",
        )
    values = {name: _typed(name, value) for name, value in changes.items()}
    objective = replace(base.objective, **{k: v for k, v in values.items() if k in inner})
    changed = replace(base, objective=objective, **{k: v for k, v in values.items() if k in own})
    return checked(changed)


def checked(values: Hyperparameters, blocks: int | None = None) -> Hyperparameters:
    """Returns the settings, or raises InvalidInput naming the first value out of its range."""
    aim = values.objective
    top = 10**6 if blocks is None else blocks - 2
    rules = {
        "layers": (
            bool(values.layers) and tuple(sorted(set(values.layers))) == values.layers,
            "ascending, at least one",
        ),
        "layers ": (
            bool(values.layers) and values.layers[0] >= 0 and values.layers[-1] <= top,
            f"within 0 to {top}: below the last block",
        ),
        "rome_layer": (0 <= values.rome_layer <= top, f"within 0 to {top}"),
        "steps": (1 <= aim.steps <= 1000, "1 to 1000"),
        "learning_rate": (aim.learning_rate > 0, "above 0"),
        "weight_decay": (aim.weight_decay >= 0, "0 or more"),
        "kl_factor": (aim.kl_factor >= 0, "0 or more"),
        "clamp_factor": (aim.clamp_factor > 0, "above 0"),
        "rome_clamp_factor": (values.rome_clamp_factor > 0, "above 0"),
        "batch_facts": (aim.batch_facts >= 1, "1 or more"),
        "covariance_weight": (values.covariance_weight > 0, "above 0"),
        "covariance_weight_per_edit": (values.covariance_weight_per_edit >= 0, "0 or more"),
        "covariance_samples": (values.covariance_samples >= 1, "1 or more"),
        "prefixes": (0 <= values.prefixes <= 100, "0 to 100"),
        "prefix_tokens": (1 <= values.prefix_tokens <= 100, "1 to 100"),
        "contrast_subjects": (0 <= values.contrast_subjects <= 50, "0 to 50"),
        "contrast_sentences": (0 <= values.contrast_sentences <= 14, "0 to 14"),
        "refine_passes": (0 <= values.refine_passes <= 10_000, "0 to 10000"),
        "refine_passes_given": (0 <= values.refine_passes_given <= 10_000, "0 to 10000"),
        "refine_below": (0 <= values.refine_below <= 1.01, "0 to 1.01 (always)"),
        "refine_rate": (0 < values.refine_rate <= 100, "above 0, at most 100"),
        "refine_hold": (values.refine_hold >= 0, "0 or more"),
        "refine_hold_given": (values.refine_hold_given >= 0, "0 or more"),
        "refine_subjects": (0 <= values.refine_subjects <= 50, "0 to 50"),
        "refine_sentences": (0 <= values.refine_sentences <= 14, "0 to 14"),
        "contrast_sentences_given": (0 <= values.contrast_sentences_given <= 14, "0 to 14"),
        "few_facts": (values.few_facts >= 0, "0 or more"),
        "contrast_subjects_few": (0 <= values.contrast_subjects_few <= 50, "0 to 50"),
        "contrast_weight_few": (values.contrast_weight_few > 0, "above 0"),
        "contrast_weight": (values.contrast_weight > 0, "above 0"),
        "nullspace_threshold": (values.nullspace_threshold > 0, "above 0"),
        "nullspace_ridge": (values.nullspace_ridge > 0, "above 0"),
    }
    for name, (holds, expected) in rules.items():
        if not holds:
            key = name.strip()
            given = getattr(values, key, getattr(aim, key, None))
            raise InvalidInput(f"{key} is {given!r}; expected {expected}", field=f"settings.{key}")
    return values


def _typed(name: str, value: Any) -> Any:
    """Turns names of choices and lists, as they come from a command line or a file, into ours."""
    kinds: dict[str, type[Enum]] = {"fact_token": FactToken, "columns": Columns}
    if name in kinds and not isinstance(value, Enum):
        known = [member.value for member in kinds[name]]
        if value not in known:
            raise InvalidInput(
                f"{name} is {value!r}; expected one of {', '.join(known)}",
                field=f"settings.{name}",
            )
        return kinds[name](value)
    if name in _KINDS and not _is_one(_KINDS[name], value):
        raise InvalidInput(
            f"{name} is {value!r}; expected {_KIND_WORDS[_KINDS[name]]}", field=f"settings.{name}"
        )
    return tuple(value) if name == "layers" else value


_KIND_WORDS = {
    "int": "a whole number",
    "float": "a finite number",
    "bool": "true or false",
    "str": "a text",
    "tuple[int, ...]": "a list of whole numbers, such as [3, 4]",
}
_KINDS = {
    one.name: str(one.type)
    for one in (*fields(Hyperparameters), *fields(Objective))
    if one.type in _KIND_WORDS
}  # By name; annotations are texts here and in targets.py.


def _is_one(kind: str, value: Any) -> bool:
    if kind in {"bool", "str"}:
        return isinstance(value, {"bool": bool, "str": str}[kind])
    if kind == "tuple[int, ...]":
        return isinstance(value, list | tuple) and all(_is_one("int", one) for one in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) if kind == "int" else math.isfinite(value)


def _plain(values: Mapping[str, Any]) -> dict[str, object]:
    return {
        name: _plain(value)
        if isinstance(value, Mapping)
        else value.value
        if isinstance(value, Enum)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }
