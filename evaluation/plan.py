"""Which methods a run compares: those asked for, and the baselines that every table carries."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from evaluation.memory_method import NO_EDITS, TARGET, known_methods
from evaluation.scopes import BM25, NOTHING, OURS, known_scopes
from memory.errors import InvalidInput
from runtime.consolidation.editors import EDITORS
from runtime.paths.counterfactual import AS_ASKED

IN_CONTEXT = "in_context"

BASELINE_PAIRS = (
    (TARGET, "exact"),  # Exact look-up.
    (TARGET, OURS),  # Returns the target verbatim.
    (IN_CONTEXT, "subject"),  # Subject mentioned: route.
    (IN_CONTEXT, BM25),
    (IN_CONTEXT, "dense"),  # IKE without a router.
    (AS_ASKED, "serac_embed"),  # SERAC as published.
    (AS_ASKED, "serac_cross"),
)


def method_pairs(
    methods: Iterable[str],
    scopes: Iterable[str],
    *,
    baselines: bool,
    default_scope: str,
    paths: Collection[str],
) -> list[tuple[str, str]]:
    """Returns (method, scope) pairs, each once, "no edits" first, then those asked for.

    `paths` are those that the server has. Raises InvalidInput for names that it has not; baselines
    whose parts are not there are left out.
    """
    _check("method", methods, (*known_methods(paths), *EDITORS))
    _check("scope", scopes, known_scopes())
    wanted = [(NO_EDITS, NOTHING)]
    wanted += [(m, NOTHING) for m in methods if m in EDITORS]  # Nothing is routed.
    wanted += [(m, s) for s in scopes for m in methods if m != NO_EDITS and m not in EDITORS]
    if baselines:
        wanted += [pair for pair in BASELINE_PAIRS if _is_there(*pair, paths)]
    named = [(m, default_scope if s == OURS else s) for m, s in wanted]
    return list(dict.fromkeys(named))


def _is_there(method: str, scope: str, paths: Collection[str]) -> bool:
    return method in known_methods(paths) and scope in known_scopes()


def _check(what: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"--{what} {name!r} is unknown; known are {', '.join(known)}", field=what
            )
