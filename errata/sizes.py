"""Sizes of namespaces and of the model, as a server's status tells them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceStatus:
    """Sizes of one namespace."""

    name: str
    active: int = 0
    superseded: int = 0
    retired: int = 0
    expired: int = 0
    consolidated: int = 0
    index_kind: str = ""
    index_bytes: int = 0
    edition: int = 0
    answering_edition: int = 0  # What requests get: 0 when the active edition cannot be used.
    edition_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """The model served."""

    model: str = ""
    model_type: str = ""
    parameters: int = 0
    context_tokens: int = 0
    dtype: str = ""
    device: str = ""
    chat: bool = False
    fingerprint: str = ""
    running: int = 0
    waiting: int = 0
