"""What the synchronous client can do with edits; `errata/client.py` puts it together."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import grpc
from grpc_health.v1 import health_pb2

from errata import convert, requests
from errata.connection import Connection
from errata.failures import to_client_error
from errata.importing import ImportSession, ImportTally
from errata.requests import UNSET, Changes, ConflictPolicy, Unset
from errata.results import (
    BatchWritten,
    Edit,
    EditFilter,
    EditPage,
    EditRef,
    ImportProgress,
    NewEdit,
    OverlapPair,
    OverlapSearch,
    SearchHit,
    ServerStatus,
    Written,
)
from errata.streams import ChangeStream
from protos.errata.v1 import memory_pb2


class EditCalls(Connection):
    """The methods of MemoryService, and the server's health."""

    def create_edit(
        self,
        *,
        subject: str,
        prompt: str,
        target: str,
        former: str | None = None,
        aliases: Sequence[str] = (),
        author: str = "",
        source: str = "",
        labels: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        edit_id: str = "",
        on_conflict: ConflictPolicy = "fail",
        namespace: str = "",
        request_id: str = "",
        validate_only: bool = False,
        check_overlaps: bool | None = None,
    ) -> Written:
        """Creates an edit: from the next request on, `prompt` is answered with `target`.

            client.create_edit(
                subject="Lionel Messi",
                prompt="Lionel Messi plays the sport of",
                target="basketball",
                former="football",
            )

        Raises EditConflict when an active edit has the same subject and prompt, unless
        `on_conflict` is "skip" or "supersede". `overlaps` of the answer are edits in force that
        speak to the same question with another answer; `check_overlaps=False` looks for none.
        """
        edit = NewEdit(
            subject=subject,
            prompt=prompt,
            target=target,
            former=former,
            aliases=tuple(aliases),
            author=author,
            source=source,
            labels=labels or {},
            expires_at=expires_at,
            edit_id=edit_id,
        )
        request = requests.create(
            edit,
            parent=namespace or self.options.namespace,
            on_conflict=on_conflict,
            request_id=request_id or requests.draw_request_id(),
            validate_only=validate_only,
            check_overlaps=check_overlaps,
        )
        return self._written(self._memory.CreateEdit, request)

    def create_edits(
        self,
        edits: Iterable[NewEdit],
        *,
        on_conflict: ConflictPolicy = "fail",
        namespace: str = "",
        request_id: str = "",
        validate_only: bool = False,
        check_overlaps: bool | None = None,
    ) -> BatchWritten:
        """Creates all of up to 1000 edits, or none of them.

        Of more than 32 edits overlaps are looked for only with `check_overlaps=True`.
        """
        request = requests.create_batch(
            edits,
            parent=namespace or self.options.namespace,
            on_conflict=on_conflict,
            request_id=request_id or requests.draw_request_id(),
            validate_only=validate_only,
            check_overlaps=check_overlaps,
        )
        result = convert.batch_written(self._call(self._memory.BatchCreateEdits, request))
        self._sequences.note(result.sequence)
        return result

    def get_edit(self, edit: EditRef) -> Edit:
        """Returns an edit as it is now, in whatever state. Raises NotFound."""
        request = memory_pb2.GetEditRequest(name=self._edit_name(edit))
        return convert.edit(self._call(self._memory.GetEdit, request))

    def list_page(
        self,
        filter: EditFilter | None = None,  # noqa: A002  # The wire's own name.
        *,
        page_size: int = 0,
        page_token: str = "",
        namespace: str = "",
    ) -> EditPage:
        """Returns one page of edits, oldest first; give its token back for the next one."""
        request = memory_pb2.ListEditsRequest(
            parent=requests.namespace_name(namespace or self.options.namespace),
            page_size=page_size,
            page_token=page_token,
            filter=requests.edit_filter(filter) if filter else None,
        )
        return convert.page(self._call(self._memory.ListEdits, request))

    def list_edits(
        self,
        filter: EditFilter | None = None,  # noqa: A002
        *,
        page_size: int = 500,
        namespace: str = "",
    ) -> Iterator[Edit]:
        """Yields edits, oldest first, as they were when the listing began.

        for edit in client.list_edits(EditFilter(subject="Lionel Messi")):
            print(edit.id, edit.statement)
        """
        token = ""
        while True:
            page = self.list_page(
                filter, page_size=page_size, page_token=token, namespace=namespace
            )
            yield from page.edits
            token = page.next_page_token
            if not token:
                return

    def update_edit(
        self,
        edit: EditRef,
        *,
        subject: str | Unset = UNSET,
        prompt: str | Unset = UNSET,
        target: str | Unset = UNSET,
        former: str | Unset | None = UNSET,
        aliases: Sequence[str] | Unset = UNSET,
        author: str | Unset = UNSET,
        source: str | Unset = UNSET,
        labels: Mapping[str, str] | Unset = UNSET,
        expires_at: datetime | Unset | None = UNSET,
        etag: str = "",
        request_id: str = "",
        validate_only: bool = False,
        check_overlaps: bool | None = None,
    ) -> Written:
        """Changes the fields given and makes a new revision; None clears a field.

        With `etag`, raises EtagMismatch when somebody else changed the edit since.
        """
        changes = Changes(
            subject=subject,
            prompt=prompt,
            target=target,
            former=former,
            aliases=aliases,
            author=author,
            source=source,
            labels=labels,
            expires_at=expires_at,
        )
        request = requests.update(
            self._edit_name(edit),
            changes,
            etag=etag,
            request_id=request_id or requests.draw_request_id(),
            validate_only=validate_only,
            check_overlaps=check_overlaps,
        )
        return self._written(self._memory.UpdateEdit, request)

    def retire_edit(
        self,
        edit: EditRef,
        *,
        reason: str = "",
        etag: str = "",
        request_id: str = "",
        validate_only: bool = False,
    ) -> Written:
        """Takes an edit out of service; `restore_edit` brings it back."""
        request = memory_pb2.RetireEditRequest(
            name=self._edit_name(edit),
            etag=etag,
            reason=reason,
            request_id=request_id or requests.draw_request_id(),
            validate_only=validate_only,
        )
        return self._written(self._memory.RetireEdit, request)

    def restore_edit(
        self,
        edit: EditRef,
        *,
        reason: str = "",
        expires_at: datetime | None = None,
        etag: str = "",
        request_id: str = "",
        validate_only: bool = False,
        check_overlaps: bool | None = None,
    ) -> Written:
        """Brings a retired, expired or superseded edit back into service."""
        request = memory_pb2.RestoreEditRequest(
            name=self._edit_name(edit),
            etag=etag,
            reason=reason,
            request_id=request_id or requests.draw_request_id(),
            validate_only=validate_only,
            check_overlaps=check_overlaps,  # type: ignore[arg-type]  # None: unset.
            expire_time=requests.timestamp(expires_at) if expires_at else None,
        )
        return self._written(self._memory.RestoreEdit, request)

    def search_edits(
        self, text: str, *, limit: int = 10, namespace: str = ""
    ) -> tuple[SearchHit, ...]:
        """Finds active edits near a text, by meaning or by mention of their subject."""
        request = memory_pb2.SearchEditsRequest(
            parent=requests.namespace_name(namespace or self.options.namespace),
            text=text,
            limit=limit,
        )
        return convert.search_hits(self._call(self._memory.SearchEdits, request))

    def find_overlaps(
        self,
        *,
        subject: str = "",
        everywhere: bool = False,
        namespace: str = "",
        timeout_s: float | None = None,
        progress: Callable[[OverlapSearch], None] | None = None,
    ) -> Generator[OverlapPair, None, None]:
        """Yields pairs of edits in force that overlap, as they are found; stopping ends the search.

            for pair in client.find_overlaps(subject="Acme Corp"):
                print(pair.edit.statement, "|", pair.overlap.edit.statement)

        `subject` is of one of the two. `everywhere` also looks at edits whose prompt mentions no
        other edit's subject: long, and seldom of use. Without `timeout_s` it takes its time.
        """
        request = requests.find_overlaps(
            parent=namespace or self.options.namespace, subject=subject, everywhere=everywhere
        )
        call = self._memory.FindOverlaps(
            request, timeout=timeout_s, metadata=self.options.metadata()
        )
        try:
            for message in call:
                search = convert.overlap_search(message)
                if progress is not None:
                    progress(search)
                yield from search.pairs
        except grpc.RpcError as error:
            raise to_client_error(error, target=self.options.target) from error
        finally:
            call.cancel()

    def import_edits(
        self,
        records: Iterable[NewEdit | str],
        *,
        import_id: str = "",
        on_conflict: ConflictPolicy = "skip",
        validate_only: bool = False,
        namespace: str = "",
        progress: Callable[[ImportProgress], None] | None = None,
    ) -> ImportProgress:
        """Imports records (edits, or lines of Errata's JSONL); a bad one never fails the others.

        Rows count from 1 in the order given. A broken connection is resumed. With the same
        `import_id` and the same records, an import that was killed goes on where it stopped and
        duplicates nothing. Returns the final figures with all refused records in `errors`.
        """
        tally = ImportTally(
            parent=namespace or self.options.namespace,
            import_id=import_id,
            on_conflict=on_conflict,
            validate_only=validate_only,
            progress=progress,
        )
        session = ImportSession(records, tally)
        attempt = 0
        while not tally.done:
            known = tally.durable_row
            call = self._memory.ImportEdits(session.messages(), metadata=self.options.metadata())
            try:
                for message in call:
                    session.take(message)
            except grpc.RpcError as error:
                failure = to_client_error(error, target=self.options.target)
                attempt = 1 if tally.durable_row > known else attempt + 1
                wait_s = self.options.retry.wait_s(failure, attempt=attempt, left_s=None)
                if wait_s is None:
                    raise failure from error
                time.sleep(wait_s)
            finally:
                call.cancel()
        tally.raise_from_source()
        self._sequences.note(tally.report.sequence)
        return tally.report

    def export_edits(
        self,
        filter: EditFilter | None = None,  # noqa: A002
        *,
        history: bool = False,
        namespace: str = "",
    ) -> Iterator[Edit]:
        """Yields edits, what was said last coming last, as of one sequence.

        With `history`, every revision of each.
        """
        request = memory_pb2.ExportEditsRequest(
            parent=requests.namespace_name(namespace or self.options.namespace),
            filter=requests.edit_filter(filter) if filter else None,
            history=history,
        )
        call = self._memory.ExportEdits(request, metadata=self.options.metadata())
        try:
            for message in call:
                yield from (convert.edit(item) for item in message.edits)
        except grpc.RpcError as error:
            raise to_client_error(error, target=self.options.target) from error
        finally:
            call.cancel()

    def watch(
        self, *, after_sequence: int = 0, namespace: str = "", checkpoints: bool = False
    ) -> ChangeStream:
        """Follows the log from a sequence on, for ever; close the stream to end it.

            with client.watch(after_sequence=last_seen) as changes:
                for change in changes:
                    print(change.sequence, change.kind, change.edit.statement)

        `namespace="-"` follows all. With `checkpoints`, also says about every five seconds how
        far it got while nothing happens.
        """
        request = memory_pb2.WatchEditsRequest(
            parent=requests.namespace_name(namespace or self.options.namespace),
            after_sequence=after_sequence,
        )
        call = self._memory.WatchEdits(request, metadata=self.options.metadata())
        return ChangeStream(call, target=self.options.target, checkpoints=checkpoints)

    def status(self, *, namespace: str = "-") -> ServerStatus:
        """Returns size and health of the memory ("-": all namespaces) and what model is served."""
        request = memory_pb2.GetMemoryStatusRequest(parent=requests.namespace_name(namespace))
        return convert.server_status(self._call(self._memory.GetMemoryStatus, request))

    def health(self, service: str = "") -> str:
        """Returns "SERVING", "NOT_SERVING" or "UNKNOWN" for the server or one of its services."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = self._call(self._health.Check, request)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
