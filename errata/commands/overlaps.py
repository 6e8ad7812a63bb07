"""`errata edit overlaps`: pairs of edits in force that answer the same question otherwise."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    Address,
    AsJson,
    Namespace,
    Timeout,
)
from errata.commands.session import connected
from errata.meter import Meter
from errata.results import OverlapPair, OverlapSearch
from errata.show import Screen
from errata.show_overlaps import show_pairs


def overlaps(
    *,
    subject: Annotated[
        str, typer.Option("--subject", "-s", metavar="NAME", help="Of edits about this subject.")
    ] = "",
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="Looks also at edits whose prompt mentions no other edit's subject; takes long.",
        ),
    ] = False,
    limit: Annotated[
        int,
        typer.Option("--limit", "-l", min=0, metavar="N", help="How many at most; 0 for all."),
    ] = 50,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Lists pairs of edits that answer the same question with different answers.

    The scope classifier's own judgement, so it errs as routing errs. Ctrl-C ends the search.

    Examples:
      errata edit overlaps
      errata edit overlaps --subject "Acme Corp" --json
    """
    screen = Screen.open(json=as_json)
    pairs: list[OverlapPair] = []
    more = False
    with (
        connected(screen, address, namespace=namespace, timeout_s=timeout) as client,
        SearchMeter(screen) as meter,
        closing(
            client.find_overlaps(subject=subject, everywhere=everywhere, progress=meter.take)
        ) as found,
    ):
        for pair in found:
            if limit and len(pairs) == limit:
                more = True
                break
            pairs.append(pair)
            if as_json:
                screen.record(pair)
    if as_json:
        return
    if pairs:
        show_pairs(screen, pairs)
    if more:
        screen.note(f"The first {limit}; --limit 0 shows all.")
    else:
        count = "1 overlap" if len(pairs) == 1 else f"{len(pairs) or 'No'} overlaps"
        edits = "edit" if meter.total == 1 else "edits"
        screen.note(f"{count} among {meter.total} {edits} in force.")


class SearchMeter(Meter):
    """How far a search is: a bar on a terminal, nothing elsewhere."""

    def __init__(self, screen: Screen) -> None:
        self.total = 0
        columns = (
            TextColumn("Looking"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
        )
        super().__init__(screen, *columns, total=None, figures="")

    def take(self, search: OverlapSearch) -> None:
        """Shows how far the search is."""
        self.total = search.total
        if self._bar:
            figures = f"{search.found} found"
            self._bar.update(
                self._task, completed=search.examined, total=search.total, figures=figures
            )
