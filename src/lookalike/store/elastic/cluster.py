"""A connection to Elasticsearch: patient with what passes, and with our errors for the rest."""

from __future__ import annotations

import base64
import contextlib
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ...errors import (
    CannotStore,
    ClusterUnreachable,
    ClusterUnsuited,
    ClusterUnwell,
    CollectionClosed,
    MissingPackage,
    RecipeChanged,
)
from .address import Address

try:
    import elastic_transport
    import elasticsearch
    import orjson
    from elasticsearch.serializer import DEFAULT_SERIALIZERS, OrjsonSerializer

    from .faults import PASSING, Faults, kind_of
    from .node import Node
except ImportError as missing:
    raise MissingPackage(
        "a collection in Elasticsearch", "pip install 'lookalike[elasticsearch]'"
    ) from missing

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_LEAST_SERVER = (8, 18)
"""Older ones do not rank codes again by the vectors themselves; nor has one been tried."""
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 5.0
_HELD_UP = {"reason": "`lookalike reindex` is taking over, or was killed at it a moment ago"}
_BULK_BYTES = 8_000_000
"""Of one request: a server takes 100 MB, but a tenth keeps its memory free for others."""


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one document."""

    action: Literal["create", "index", "update", "delete"]
    index: str
    id: str
    body: Mapping[str, Any] | None = None
    """May hold NumPy arrays."""
    seen: tuple[int, int] | None = None
    """The sequence number and the primary term that it is to have still."""

    def lines(self) -> bytes:
        """As a bulk request has it."""
        about: dict[str, Any] = {"_index": self.index, "_id": self.id, "require_alias": True}
        if self.seen is not None:
            about["if_seq_no"], about["if_primary_term"] = self.seen
        if self.action == "delete":  # which makes no index where there is none
            del about["require_alias"]
        head = orjson.dumps({self.action: about}) + b"\n"
        if self.body is None:
            return head
        body = {"doc": self.body} if self.action == "update" else self.body
        return head + orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"


class Cluster:
    """Safe to use from several threads."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._where = str(address)
        self._faults = Faults(address)
        options = address.options
        secure: dict[str, Any] = {}
        if address.hosts[0].startswith("https") and options.fingerprint:
            # The fingerprint is all that is trusted, whoever has signed the certificate.
            secure = {"ssl_assert_fingerprint": options.fingerprint, "verify_certs": False}
            secure["ssl_show_warn"] = False
        elif address.hosts[0].startswith("https") and options.ca:
            _check_authority(self._where, options.ca)
            secure = {"ca_certs": options.ca}
        try:
            self._client = elasticsearch.Elasticsearch(
                list(address.hosts),
                basic_auth=None if address.api_key else _basic(address.login),
                api_key=address.api_key,
                request_timeout=options.timeout,
                max_retries=len(address.hosts) - 1,
                retry_on_timeout=False,
                node_class=Node,
                serializers={**DEFAULT_SERIALIZERS, _Answers.mimetype: _Answers()},
                **secure,
            )
        except (ValueError, OSError) as error:
            raise ClusterUnreachable(str(address), f"{error}") from error
        self._closed = False
        self._told_of_shards = False
        self.may_pass: Callable[[], bool] = lambda: False
        """Whether an index that takes no writes may take them again in a moment, or does now."""

    def check(self) -> None:
        """`ClusterUnsuited` if the server is too old, or none of Elastic's."""
        # `GET /` is not there in every distribution.
        answer = self.ask(
            lambda c: c.nodes.info(node_id="_local", filter_path="nodes.*.version"), wait=False
        )
        for node in answer.get("nodes", {}).values():
            numbers = tuple(int(part) for part in node["version"].split(".")[:2])
            if numbers < _LEAST_SERVER:
                wanted = ".".join(map(str, _LEAST_SERVER))
                raise ClusterUnsuited(
                    self._where, f"it is Elasticsearch {node['version']}, {wanted} is needed"
                )

    def ask(
        self, what: Callable[[elasticsearch.Elasticsearch], _Answer], *, wait: bool = True
    ) -> _Answer:
        """The answer of a call, tried again for a while where the cluster is only busy."""
        if self._closed:
            raise CollectionClosed(self._where)
        try:
            return what(self._client)
        except (elasticsearch.ApiError, elastic_transport.TransportError) as error:
            with self._faults.translated():
                return self._again(what, error, wait=wait)

    def _again(
        self,
        what: Callable[[elasticsearch.Elasticsearch], _Answer],
        error: elasticsearch.ApiError | elastic_transport.TransportError,
        *,
        wait: bool,
    ) -> _Answer:
        """The answer of a call that has failed once, if that may pass.

        Another node than the one that has kept us waiting is asked once, and at once. All that is
        asked may be done twice: documents go by their content.
        """
        if isinstance(error, elastic_transport.ConnectionTimeout) and len(self.address.hosts) > 1:
            try:
                return what(self._client)
            except (elasticsearch.ApiError, elastic_transport.TransportError) as another:
                error = another
        for pause in self._pauses(wait=wait):
            if pause is None or not self._may_have_passed(error):
                break
            time.sleep(pause)
            try:
                return what(self._client)
            except (elasticsearch.ApiError, elastic_transport.TransportError) as another:
                error = another
        raise error

    def _may_have_passed(
        self, error: elasticsearch.ApiError | elastic_transport.TransportError
    ) -> bool:
        if isinstance(error, elasticsearch.ApiError):
            return error.status_code in PASSING
        if isinstance(error, elastic_transport.ConnectionTimeout | elastic_transport.TlsError):
            return False
        is_node = isinstance(error, elastic_transport.ConnectionError)
        return is_node and len(self.address.hosts) > 1

    def searched(self, *, whole: bool = True, **request: Any) -> dict[str, Any]:
        """The answer of a search.

        `whole`: `ClusterUnwell` where a shard is missing; else what the others have, and that is
        said, once.
        """
        if whole:
            request["allow_partial_search_results"] = False
        answer: dict[str, Any] = self.ask(lambda c: c.search(**request)).body
        self.note_shards(answer)
        return answer

    def count(self, index: str, query: Mapping[str, Any]) -> int:
        """How many documents pass; `ClusterUnwell` where a shard is missing."""
        answer = self.ask(lambda c: c.count(index=index, query=query))
        shards = answer["_shards"]
        if shards["successful"] < shards["total"]:
            missing = shards["total"] - shards["successful"]
            where = self._where
            raise ClusterUnwell(where, f"{missing} of {shards['total']} shards of it are missing")
        return int(answer["count"])

    def searched_many(
        self, index: str, requests: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """The answers of several searches of an index, in one request, as `searched` takes each."""
        lines: list[Any] = []  # ready, as the client has another serializer for them
        for request in requests:
            lines += [b"{}", orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY)]
        answers: list[dict[str, Any]] = self.ask(lambda c: c.msearch(index=index, searches=lines))[
            "responses"
        ]
        for answer in answers:
            if "error" in answer:
                self.raise_item(answer["error"])
            self.note_shards(answer)
        return answers

    def note_shards(self, answer: Mapping[str, Any]) -> None:
        """Warn once, until it is over, that an answer comes from a part of the shards."""
        shards = answer.get("_shards", {})
        partial = is_partial(answer)
        if partial and not self._told_of_shards:
            _log.warning(
                "%s is degraded: %s of %s shards answer, hits of the others are missing",
                self.address,
                shards.get("successful"),
                shards.get("total"),
            )
        self._told_of_shards = partial

    def index_named(self, name: str) -> dict[str, Any] | None:
        """What an index, or those that an alias stands for, are made like; None if there is none.

        By the index's own name.
        """
        answer = self.ask(
            lambda c: c.options(ignore_status=404).indices.get(
                index=name, features=["mappings", "aliases"], flat_settings=True
            )
        )
        if kind_of(answer.body) == "index_not_found_exception":
            return None
        if "error" in answer.body:
            raise self._faults.of_answer(elasticsearch.ApiError("", answer.meta, answer.body))
        found: dict[str, Any] = answer.body
        return found

    def check_recovered(self) -> None:
        """`ClusterUnwell` if it does not know its indices: it starts, or has no master."""
        said = self.ask(lambda c: c.cluster.state(metric="blocks", master_timeout="5s"), wait=False)
        blocks = said["blocks"].get("global", {})
        if blocks:
            why = "; ".join(each["description"] for each in blocks.values())
            raise ClusterUnwell(self._where, why)

    def make(self, index: str, body: Mapping[str, Any]) -> None:
        """Make an index; one that is there already is left as it is."""
        answer = self.ask(
            lambda c: c.options(ignore_status=400).indices.create(index=index, **body)
        )
        kind = kind_of(answer.body)
        if kind and kind != "resource_already_exists_exception":
            raise self._faults.of_answer(elasticsearch.ApiError("", answer.meta, answer.body))
        if not answer.get("shards_acknowledged", True):
            raise ClusterUnwell(self._where, f"no node takes the shards of {index}")

    def make_current(self, index: str, body: Mapping[str, Any]) -> None:
        """Make an index that at once has the collection's name, if no other has."""
        self.make(index, {**body, "aliases": {**body["aliases"], self.address.name: {}}})

    def write(self, writes: Sequence[Write], *, found: bool = True) -> list[bool]:
        """Make changes; whether each was made, which it is not if somebody else was first.

        What a busy cluster refuses is tried again, and only that. `found`: whether all of it is to
        be found by what the collection's `refresh` says; else by the index's own next refresh.
        """
        refresh = self.address.options.refresh if found else "false"
        made = [False] * len(writes)
        for chunk in _chunks([(number, each.lines()) for number, each in enumerate(writes)]):
            self._write_chunk(chunk, made, refresh)
        return made

    def _write_chunk(
        self,
        chunk: list[tuple[int, bytes]],
        made: list[bool],
        refresh: str,
    ) -> None:
        was_blocked = False
        for pause in self._pauses():
            body = b"".join(lines for _, lines in chunk)
            answer = self.ask(lambda c, body=body: c.bulk(operations=body, refresh=refresh))  # type: ignore[misc]
            refused: list[tuple[int, bytes]] = []
            why: Mapping[str, Any] = {}
            for (number, lines), item in zip(chunk, answer["items"], strict=True):
                (result,) = item.values()
                status = result["status"]
                if "error" not in result:  # what was to be deleted may be gone
                    made[number] = True
                elif status in PASSING or _is_blocked(result["error"]):
                    refused.append((number, lines))
                    why = result["error"]
                elif status != 409:
                    raise self._faults.of_write(status, result["error"])
            if not refused:
                return
            if _is_blocked(why) and not self.may_pass():
                if was_blocked or pause is None:
                    raise self._faults.of_write(403, why)
                was_blocked = True  # it may have been only until just now
            elif pause is None:
                raise self._faults.of_write(429, _HELD_UP if _is_blocked(why) else why)
            chunk = refused
            time.sleep(pause)

    def block_writes(self, index: str) -> None:
        """Have an index take no writes; those that it has begun with are done when this returns."""
        self.ask(lambda c: c.indices.add_block(index=index, block="write"))

    def allow_writes(self, index: str) -> None:
        """Have it take them again; one that is not there is no harm."""
        self.ask(
            lambda c: c.options(ignore_status=404).indices.put_settings(
                index=index, settings={"index.blocks.write": None}
            )
        )

    def take_over(self, former: str, index: str) -> None:
        """Give the collection's name to another index and delete the former, in one step."""
        name = self.address.name
        actions = [{"add": {"index": index, "alias": name}}, {"remove_index": {"index": former}}]
        try:
            self.ask(lambda c: c.indices.update_aliases(actions=actions))
        except RecipeChanged:  # done already, if the answer was lost
            if index not in (self.index_named(name) or ()):
                raise

    def remove(self, index: str) -> None:
        """Delete an index, if it is there."""
        self.ask(lambda c: c.options(ignore_status=404).indices.delete(index=index))

    def refresh(self, index: str) -> None:
        """Have all that was written to an index found."""
        self.ask(lambda c: c.indices.refresh(index=index))

    def give_up(self, what: Callable[[elasticsearch.Elasticsearch], object]) -> None:
        """Have the cluster free what it keeps for us; it will by itself, in time."""
        with contextlib.suppress(elasticsearch.ApiError, elastic_transport.TransportError):
            what(self._client)

    def raise_item(self, error: Mapping[str, Any]) -> None:
        """What went wrong with one of several documents that were asked for."""
        if error.get("type") == "index_not_found_exception":
            raise self._faults.of_missing(error)
        raise ClusterUnwell(self._where, str(error.get("reason", error)))

    def too_busy(self) -> Exception:
        """Of a change that others were always faster with."""
        return CannotStore(self._where, "others change the same pictures all the time")

    def close(self) -> None:
        """Close its connections."""
        self._closed = True
        self._client.close()

    def _pauses(self, *, wait: bool = True) -> Iterator[float | None]:
        """How long to wait before each next try; None once patience has ended."""
        end = time.monotonic() + (self.address.options.patience if wait else 0)
        pause = _FIRST_WAIT
        while time.monotonic() + pause < end:
            yield pause * random.uniform(0.5, 1)  # noqa: S311 - so that not all come back at once
            pause = min(2 * pause, _LONGEST_WAIT)
        yield None


class _Answers(OrjsonSerializer):
    """Reads answers several times as fast as the client's usual one."""

    mimetype = "application/vnd.elasticsearch+json"


def _check_authority(where: str, file: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:
        why = error.strerror if isinstance(error, FileNotFoundError) else "no certificate is in it"
        raise ClusterUnreachable(where, f"the authority to trust, {file}: {why}") from error


def _basic(login: tuple[str, str] | None) -> str | None:
    """As the header has it. The client's own way knows ASCII alone."""
    return None if login is None else base64.b64encode(":".join(login).encode()).decode()


def is_partial(answer: Mapping[str, Any]) -> bool:
    """Whether a search was answered by a part of the shards, or of the documents in them."""
    return bool(answer.get("_shards", {}).get("failed")) or bool(answer.get("timed_out"))


def _is_blocked(error: Mapping[str, Any]) -> bool:
    return "FORBIDDEN/8/" in str(error.get("reason"))  # of writes, or of moving to that


def _chunks(lines: list[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    chunk: list[tuple[int, bytes]] = []
    size = 0
    for number, text in lines:
        if chunk and size + len(text) > _BULK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append((number, text))
        size += len(text)
    if chunk:
        yield chunk
