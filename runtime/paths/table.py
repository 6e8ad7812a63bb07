"""The paths of a server by name, and the engines of the models that they decode on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from memory.errors import InvalidInput
from memory.record import Rejection, RejectReason, Route, RouteKind
from runtime.engine.contract import Engine
from runtime.paths.choice import AUTO, choose_path
from runtime.paths.contract import BASE_MODEL, ModelName, Path, PathInput
from runtime.paths.counterfactual import COUNTERFACTUAL
from runtime.paths.in_context import IN_CONTEXT

# Why a hit is left out though it is in scope. What the weights hold only the frozen model can say.
IN_SCOPE = frozenset({RejectReason.OUTRANKED, RejectReason.CONSOLIDATED})


class PathTable:
    """Looks paths and engines up; changes nothing, safe from any thread."""

    def __init__(
        self, paths: Mapping[str, Path], models: Mapping[ModelName, Engine], *, default: str
    ) -> None:
        """Takes the paths by name, and the engine of every model, the frozen one's first.

        Raises InvalidInput for a default that is no path here.
        """
        self.paths = MappingProxyType(dict(paths))
        self.models = MappingProxyType(dict(models))
        self._default = default
        if default not in self.names:
            raise InvalidInput(
                f"The default path is {default!r}; known paths are {', '.join(self.names)}.",
                field="routing.default_path",
            )

    @property
    def names(self) -> list[str]:
        """What a request may name; "auto" where there is something to choose from."""
        both = {IN_CONTEXT, COUNTERFACTUAL} <= self.paths.keys()
        return sorted([*self.paths, *([AUTO] if both else [])])

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Every engine that paths decode on, once."""
        return tuple({id(engine): engine for engine in self.models.values()}.values())

    def engine_of(self, path: str) -> Engine:
        """The engine whose tokens an answer by `path` is made of; the frozen model's for BASE."""
        return self.models[self._model_of(path)]

    def edition_of(self, path: str, edition: int) -> int:
        """The weights that `path` decodes on: only the frozen model has editions."""
        return edition if self._model_of(path) == BASE_MODEL else 0

    def is_auto(self, asked: str) -> bool:
        """Whether a request's path ("" is the default) is left to the rule of choice.py."""
        return (asked or self._default) == AUTO and AUTO in self.names

    def path(self, asked: str) -> Path:
        """The path that a request names; with "auto", the one that holds the most edits.

        Raises InvalidInput for one that there is none of.
        """
        name = IN_CONTEXT if self.is_auto(asked) else asked or self._default
        found = self.paths.get(name)
        if found is None:
            raise InvalidInput(
                f"There is no path {name!r}; known paths are {', '.join(self.names)}."
                f"{_advice(name)}",
                field="routing.path",
            )
        return found

    def by_form(self, route: Route, asked: PathInput, *, forced: bool = False) -> Route:
        """Chooses the path of an edited route by what was asked, and says why in its reason.

        It keeps as many hits as that path reads. `forced`: the caller named the edits.
        """
        if route.kind is RouteKind.BASE:
            return route
        left_out = [r.decision for r in route.rejections if r.reason in IN_SCOPE]
        edits = [decision.candidate.edit for decision in (*route.hits, *left_out)]
        query = asked.messages[-1][1] if asked.messages else asked.prompt
        choice = choose_path(asked.read_as or query, edits, forced=forced)
        if choice.path == COUNTERFACTUAL and choice.best >= len(route.hits):
            choice = choose_path(asked.read_as or query, edits[: len(route.hits)], forced=forced)
        hits = list(route.hits)
        if choice.best:
            hits.insert(0, hits.pop(choice.best))
        kept = self.paths[choice.path].edits_max
        outranked = (Rejection(decision=d, reason=RejectReason.OUTRANKED) for d in hits[kept:])
        return replace(
            route,
            path=choice.path,
            reason=f"{route.reason} {choice.reason}",
            hits=tuple(hits[:kept]),
            rejections=(*outranked, *route.rejections),
        )

    def roomier(self, route: Route, asked: str) -> Route | None:
        """Returns the route to fall back on when the context of the path's own model is too short.

        Only where "auto" chose that path; None: there is nothing else to try. In context there is
        room for what was outranked, too.
        """
        if not self.is_auto(asked) or route.path != COUNTERFACTUAL:
            return None
        outranked = [r for r in route.rejections if r.reason is RejectReason.OUTRANKED]
        taken = outranked[: max(0, self.paths[IN_CONTEXT].edits_max - len(route.hits))]
        return replace(
            route,
            path=IN_CONTEXT,
            reason=f"{route.reason} Its model's context is too short for that: in context.",
            hits=(*route.hits, *(rejection.decision for rejection in taken)),
            rejections=tuple(r for r in route.rejections if r not in taken),
        )

    def _model_of(self, path: str) -> ModelName:
        known = self.paths.get(path)
        return BASE_MODEL if known is None else known.model


def _advice(name: str) -> str:
    """What to do about a path that exists, but not on this server."""
    if name not in {AUTO, COUNTERFACTUAL}:
        return ""
    return " Start the server with --path auto, or with --counterfactual MODEL, to have it."
