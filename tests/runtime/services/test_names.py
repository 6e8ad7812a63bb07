import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.errors import InvalidInput
from memory.record import EditId, Namespace
from runtime.services.names import (
    format_edit,
    format_namespace,
    parse_edit,
    parse_namespace,
    parse_namespace_or_all,
)

namespaces = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True).map(Namespace)
edit_ids = st.from_regex(r"[a-z][a-z0-9-]{3,62}", fullmatch=True).map(EditId)


@given(namespace=namespaces, edit_id=edit_ids)
def test_a_formatted_name_is_read_back(namespace: Namespace, edit_id: EditId) -> None:
    assert parse_namespace(format_namespace(namespace), field="parent") == namespace
    assert parse_edit(format_edit(namespace, edit_id), field="name") == (namespace, edit_id)


def test_no_name_is_the_default_namespace() -> None:
    assert parse_namespace("", field="parent") == "default"


def test_a_dash_stands_for_all_namespaces_only_where_it_may() -> None:
    assert parse_namespace_or_all("namespaces/-", field="parent") is None
    with pytest.raises(InvalidInput):
        parse_namespace("namespaces/-", field="parent")


@pytest.mark.parametrize(
    "name",
    ["default", "namespaces/", "namespaces/a/b", "namespaces/Ä", "namespaces/A", "a/b", "/", "\0"],
)
def test_a_malformed_namespace_is_refused_and_the_field_named(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_namespace(name, field="routing.namespace")
    assert caught.value.field == "routing.namespace"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "edits/abcd",
        "namespaces/default/edits/",
        "namespaces/default/edits/abc",
        "namespaces/default/edits/abcd/revisions/1",
        "namespaces/default/edit/abcd",
    ],
)
def test_a_malformed_edit_name_is_refused_and_the_form_shown(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_edit(name, field="name")
    assert caught.value.field == "name"


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused_in_few_words(text: str) -> None:
    for parse in (parse_namespace, parse_edit):
        refusal = ""
        try:
            parse(text, field="name")
        except InvalidInput as error:
            refusal = str(error)
        assert len(refusal) < 400
