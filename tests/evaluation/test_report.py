"""The report: one page that stands alone, its figures and cases taken from the outcomes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.figures import (
    calibration_error,
    calibration_points,
    curve_figure,
    roc_area,
    roc_line,
)
from evaluation.glossary import METRICS
from evaluation.probes import Scope
from evaluation.report import write_report
from evaluation.table import Row
from evaluation.worst import SHOWN, worst_cases
from tests.evaluation_kit import counterfact_file, options_for, outcome, run_with_fakes

VOID = {"meta", "br", "use", "path", "rect", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Counts elements, and fails on a tag that is closed without having been opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.addresses += [v or "" for k, v in attrs if k in {"href", "src", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.addresses += [v or "" for k, v in attrs if k in {"href", "src", "action"}]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert tag == self.open.pop(), f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    options = options_for(counterfact_file(folder, 8), folder / "out", edits=(1, 4), baselines=True)
    result = run_with_fakes(options)
    # The fakes' scores are no probabilities; one scope's are taken for some.
    result = replace(result, calibrated=frozenset({"subject"}))
    return write_report(folder / "out" / "report.html", options, result).read_text("utf-8")


def test_the_page_is_well_formed_and_every_tag_is_closed(page: str) -> None:
    seen = Page(page)
    assert [] == seen.open
    assert (1, 1, 1) == (seen.seen["html"], seen.seen["head"], seen.seen["body"])


def test_nothing_on_the_page_refers_to_anything_outside_it(page: str) -> None:
    seen = Page(page)
    assert [] == [address for address in seen.addresses if not address.startswith("#")]
    assert [] == re.findall(r"https?://", page)
    assert 0 == seen.seen["script"] + seen.seen["link"] + seen.seen["img"]


def test_what_figures_refer_to_stands_on_the_page(page: str) -> None:
    wanted = {address.removeprefix("#") for address in Page(page).addresses}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert wanted <= set(re.findall(r'\bid="([^"]+)"', page))


def test_the_page_holds_tables_curves_calibration_roc_cases_and_the_glossary(page: str) -> None:
    seen = Page(page)
    text = " ".join(seen.text)
    # Curves of the metrics that two numbers of edits have, the reliability diagram and the ROC.
    for title in ("reliability_exact", "false_route_neighbour", "locality_identical"):
        assert title in text
    assert seen.seen["svg"] >= 5
    for title in ("reliability diagram", "ROC of the router", "Worst cases", "no edits", "4 edits"):
        assert title in text
    assert "Out of scope, routed to an edit" in text
    assert "subject (expected calibration error" in text
    assert len(METRICS) == seen.seen["dt"] == seen.seen["dd"]


def test_text_of_the_data_is_escaped() -> None:
    bad = outcome(prompt="<script>alert(1)</script>", edited=True, right=False)
    ((_, cases),) = worst_cases([bad])
    from evaluation.report import _cases

    shown = _cases(cases)
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_the_worst_are_those_it_was_surest_of() -> None:
    false = [
        outcome("neighbour", scope=Scope.OUTSIDE, edited=True, best_score=number / 100)
        for number in range(50)
    ]
    ((title, cases),) = worst_cases(false)
    assert ("50", SHOWN) == (title.rsplit(" ", 1)[1], len(cases))
    assert 0.49 == cases[0].asked.routed.best_score


def test_equal_rows_give_equal_figures() -> None:
    rows = [
        Row(
            dataset="d",
            file_sha256="s",
            model="m",
            method="x",
            scope="y",
            edits=edits,
            protocol="batch",
            metric="es",
            value=0.5,
            low=0.25,
            high=0.75,
            n=4,
            seconds=1.0,
        )
        for edits in (1, 100)
    ]
    assert curve_figure("es", rows) == curve_figure("es", rows)


scores = st.lists(st.integers(0, 5).map(lambda n: n / 5), min_size=1, max_size=20)


@given(scores, scores)
def test_the_area_under_the_roc_is_the_share_of_pairs_in_order(
    inside: list[float], outside: list[float]
) -> None:
    """Mann-Whitney: ties count half."""
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    xs, ys = roc_line(inside, outside)
    assert pytest.approx(sum(pairs) / len(pairs)) == roc_area(xs, ys)
    assert (0.0, 0.0, 1.0, 1.0) == (xs[0], ys[0], xs[-1], ys[-1])


def test_calibration_takes_the_best_candidate_and_whether_it_is_the_right_one() -> None:
    held = [
        outcome(edited=True, right=True, best_score=0.9, best_is_own=True),
        outcome(edited=True, best_score=0.95, own_score=0.95),  # Another one scores the same.
        outcome("neighbour", scope=Scope.OUTSIDE, best_score=0.05),
        outcome("negation", scope=Scope.OPEN, best_score=0.5),
    ]
    points = calibration_points(held)
    assert [0.05, 0.925] == pytest.approx([given for given, _, _ in points])
    assert [(0.0, 1), (0.5, 2)] == [(found, count) for _, found, count in points]
    assert pytest.approx((0.05 + 2 * 0.425) / 3) == calibration_error(points)


def test_of_edits_in_the_weights_answers_are_looked_at_and_no_routes() -> None:
    missed = outcome(text="no", edited=False)
    assert [] == [title for title, _ in worst_cases([missed]) if "answered" in title]
    ((title, cases),) = worst_cases([missed], routes=False)
    assert ("Edited, not answered with the target: 1", [missed]) == (title, cases)
