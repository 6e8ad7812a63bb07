"""What every editor works with: a frozen model, its sites, its second moments, its prefixes.

Changed weights live beside the model and are computed with by hooks; its own are never written.
Legend: n columns, d width of the residual stream, d_in of the projection's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memory.errors import ConsolidationFailed
from runtime.consolidation.contract import Delta, EditorReport, Fact, MatrixDelta, Progress
from runtime.consolidation.corpus import Corpus
from runtime.consolidation.covariance import MomentStore
from runtime.consolidation.hyperparameters import Columns, Hyperparameters, checked
from runtime.consolidation.prefixes import write_prefixes
from runtime.consolidation.solve import Factors, compact
from runtime.consolidation.targets import Objective, Place, Targets, find_targets
from runtime.consolidation.tokens import Codec, Lesson, essence_of, lessons_of
from runtime.consolidation.told import told_to_keep
from runtime.consolidation.trace import at_last_token, replaced
from runtime.sites import Sites, sites_of, weight_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The facts as tokens, and which rows make up the columns of K."""

    lessons: list[list[Lesson]]
    essence: list[Lesson]
    kept: list[Lesson]  # Rows to which nothing is to be added.
    told: tuple[str, ...]  # The kept rows as they read.
    facts: int
    per_prompt: int  # Rows of one prompt: bare, and after each prefix.

    @property
    def flat(self) -> list[Lesson]:
        """All rows: those of the facts, fact by fact, then those to be kept."""
        return [lesson for fact in self.lessons for lesson in fact] + self.kept

    @property
    def first(self) -> list[int]:
        """Place of each fact's bare prompt among all rows."""
        return list(accumulate((len(one) for one in self.lessons[:-1]), initial=0))

    def wanted(self, states: Tensor, delta: Tensor) -> Tensor:
        """Returns the states (rows, d) that should be: plus δ (n, d) where a fact is taught."""
        wanted = states.clone()
        for row, lesson in enumerate(self.flat):
            if lesson.answer:
                wanted[row] += delta[lesson.fact].double()
        return wanted

    def columns(self, kind: Columns) -> Tensor:
        """Returns the sparse matrix (n, rows) that turns what stands at rows into columns.

        A row that is its own column counts as its share of its fact, which counts as much however
        many prompts it has, and a kept one as its own weight: K Kᵀ and R Kᵀ become weighted sums.
        Sparse, because a job of 500 edits with phrasings has 14,000 rows.
        """
        taught = [lesson for fact in self.lessons for lesson in fact]
        if kind is Columns.EACH:
            column = list(range(len(taught)))
            shares = [(one.weight * self.per_prompt) ** 0.5 for one in taught]
        else:
            column = [one.fact for one in taught]
            shares = [one.weight for one in taught]
        first = len(taught) if kind is Columns.EACH else self.facts
        column += range(first, first + len(self.kept))
        shares += [one.weight**0.5 for one in self.kept]
        return torch.sparse_coo_tensor(
            torch.tensor([column, range(len(column))]),
            torch.tensor(shares, dtype=torch.float64),
            (first + len(self.kept), len(column)),
            check_invariants=True,
        ).coalesce()


class Workbench:
    """One model with the settings of an editor. Used by one thread at a time."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        fingerprint: str,
        settings: Hyperparameters,
        corpus: Corpus,
        cache_folder: Path | None = None,
    ) -> None:
        self.model, self.settings = model, settings
        self.sites: Sites = sites_of(model)
        checked(settings, self.sites.layers)
        self.codec = Codec(tokenizer)
        self._moments = MomentStore(
            model,
            tokenizer,
            self.sites,
            fingerprint=fingerprint,
            corpus=corpus,
            samples=settings.covariance_samples,
            seed=settings.seed,
            folder=cache_folder,
        )
        self._fingerprint, self.corpus = fingerprint, corpus

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """The model's own beginnings, the same for all facts."""
        how = self.settings
        return write_prefixes(
            self.model,
            self.codec.tokenizer,
            count=how.prefixes,
            tokens=how.prefix_tokens,
            seed=how.seed,
        )

    def rows(self, facts: Sequence[Fact]) -> Rows:
        """Returns the facts as rows of tokens. Raises ConsolidationFailed."""
        if not facts:
            raise ConsolidationFailed("there are no facts to write; expected at least one")
        how = self.settings
        end = self.model.generation_config.eos_token_id
        end = end[0] if isinstance(end, list) else end
        if how.answers_end and end is None:
            raise ConsolidationFailed(
                "answers_end is set but the model names no eos_token_id; expected one in its"
                " generation_config.json"
            )
        lessons = lessons_of(
            self.codec,
            facts,
            prefixes=self.prefixes,
            token=how.fact_token,
            end=end if how.answers_end else None,
        )
        told = told_to_keep(facts, self.model, self.codec, self.corpus, how)
        essence = essence_of(self.codec, facts, how.fact_token) if how.objective.kl_factor else []
        return Rows(
            lessons=lessons,
            essence=essence,
            kept=self._kept(facts, told),
            told=tuple(text for _, text in told),
            facts=len(facts),
            per_prompt=1 + len(self.prefixes),
        )

    def _kept(self, facts: Sequence[Fact], told: Sequence[tuple[int, str]]) -> list[Lesson]:
        """Returns these prompts as rows."""
        weights = [
            self.settings.kept_weight(1 + len(fact.paraphrases), len(facts)) for fact in facts
        ]
        return [
            Lesson(fact=place, prompt=ids, site=len(ids) - 1, answer=(), weight=weights[place])
            for place, text in told
            for ids in (self.codec.prompt(text),)
        ]

    def moments(self, layers: Sequence[int], progress: Progress) -> dict[int, Tensor]:
        """Returns the layers' second moments, (d_in, d_in) float64."""
        return self._moments.moments(
            layers, lambda done, total: progress("covariance", done, total)
        )

    def targets(
        self,
        rows: Rows,
        *,
        own: Tensor,
        stream: Tensor,
        place: Place,
        objective: Objective,
        progress: Progress,
    ) -> Targets:
        """Returns the target vectors.

        `own` (n, s, d) is what δ is added to, `stream` (n, d) the residual stream there: one of
        them sets rate and clamp.
        """
        initial = stream[:, None].expand_as(own) if objective.relative else own
        return find_targets(
            self.model,
            self.sites,
            lessons=rows.lessons,
            essence=rows.essence,
            initial=initial,
            place=place,
            objective=objective,
            progress=lambda done, total: progress("targets", done, total),
        )

    def weight(self, module: str) -> Tensor:
        """Returns a private float64 copy of a projection's weight, (d_out, d_in)."""
        weight: Tensor = weight_of(self.model, self.sites, module).detach()
        return weight.to("cpu", torch.float64, copy=True)

    def look(
        self,
        lessons: Sequence[Lesson],
        weights: dict[str, Tensor],
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns inputs and outputs of modules at the rows' fact tokens, (rows, width) float64.

        They are computed with the given weights in place of the model's own.
        """
        dtype, device = self.model.dtype, self.model.device
        private = {name: weight.to(device, dtype) for name, weight in weights.items()}
        with replaced(self.model, private):
            seen = at_last_token(
                self.model, [one.to_site for one in lessons], inputs=inputs, outputs=outputs
            )
        return (
            {name: tensor.double().cpu() for name, tensor in seen.inputs.items()},
            {name: tensor.double().cpu() for name, tensor in seen.outputs.items()},
        )

    def delta(
        self,
        editor: str,
        changes: dict[str, Factors],
        facts: Sequence[Fact],
        targets: Targets,
        told: tuple[str, ...] = (),
    ) -> Delta:
        """Returns the change in the contract's words. Raises ConsolidationFailed for NaN.

        `told` are the rows' own where the editor kept them.
        """
        matrices = []
        for module, factors in changes.items():
            form = compact(factors)
            parts = form if isinstance(form, tuple) else (form,)
            if not all(bool(torch.isfinite(part).all()) for part in parts):
                raise ConsolidationFailed(
                    f"the change of {module} holds numbers that are not finite; nothing was changed"
                )
            if isinstance(form, tuple):
                matrices.append(MatrixDelta(module=module, left=form[0], right=form[1]))
            else:
                matrices.append(MatrixDelta(module=module, full=form))
        reports = tuple(
            EditorReport(edit_id=fact.edit_id, loss=loss, steps=steps, took=took)
            for fact, loss, steps, took in zip(
                facts, targets.loss, targets.steps, targets.took, strict=True
            )
        )
        settings = {
            "editor": editor,
            "weights": self._fingerprint,
            **self.settings.as_settings(),
        }
        return Delta(matrices=tuple(matrices), reports=reports, settings=settings, told=told)
