"""Names of editors and what makes them."""

from __future__ import annotations

from collections.abc import Callable

from runtime.consolidation.alphaedit import AlphaEditEditor
from runtime.consolidation.contract import Editor
from runtime.consolidation.memit import MemitEditor
from runtime.consolidation.pmet import PmetEditor
from runtime.consolidation.rome import RomeEditor
from runtime.consolidation.workbench import Workbench

EDITORS: dict[str, Callable[[Workbench], Editor]] = {
    "memit": MemitEditor,
    "rome": RomeEditor,
    "alphaedit": AlphaEditEditor,
    "pmet": PmetEditor,
}
