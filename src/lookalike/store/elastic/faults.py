"""What goes wrong with Elasticsearch, as our errors: one clear line each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import elastic_transport
import elasticsearch

from ...errors import (
    CannotStore,
    ClusterRefuses,
    ClusterUnreachable,
    ClusterUnsuited,
    ClusterUnwell,
    LookalikeError,
    RecipeChanged,
)
from .address import Address

PASSING = {429, 502, 503, 504}
"""What a cluster answers that may have changed its mind a moment later."""


class Faults:
    """Of one address."""

    def __init__(self, address: Address) -> None:
        self._where = str(address)
        self._options = address.options

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """What the client raises as our errors, one clear line each."""
        where = self._where
        try:
            yield
        except elasticsearch.UnsupportedProductError as error:
            raise ClusterUnsuited(where, "what answers there is not Elasticsearch") from error
        except elastic_transport.TlsError as error:
            pinned = bool(self._options.fingerprint)
            raise ClusterUnreachable(where, _tls_problem(error, pinned=pinned)) from error
        except elastic_transport.ConnectionTimeout as error:
            raise ClusterUnwell(where, f"it took over {self._options.timeout:g} s") from error
        except elastic_transport.ConnectionError as error:
            raise ClusterUnreachable(where, _connection_problem(error)) from error
        except elastic_transport.SerializationError as error:
            raise ClusterUnsuited(where, f"its answer cannot be read ({error})") from error
        except elasticsearch.AuthenticationException as error:
            raise ClusterRefuses(
                where,
                "user and password, or the API key, are wrong or missing; they are read from "
                "LOOKALIKE_ES_USER and LOOKALIKE_ES_PASSWORD, or LOOKALIKE_ES_API_KEY",
            ) from error
        except elasticsearch.ApiError as error:
            raise self.of_answer(error) from error

    def of_answer(self, error: elasticsearch.ApiError) -> LookalikeError:
        """For an answer that says no."""
        where, reason = self._where, _reason(error.body)
        kind = kind_of(error.body)
        if kind == "cluster_block_exception":
            return self.of_write(error.status_code, {"type": kind, "reason": reason})
        if error.status_code == 403:
            return ClusterRefuses(where, reason)
        if kind == "index_not_found_exception":
            return self.of_missing(error.body["error"])
        if kind == "media_type_header_exception":
            return ClusterUnsuited(
                where,
                f"it is older than the client elasticsearch {version('elasticsearch')}: "
                "pip install 'elasticsearch>=8.17,<9', which speaks with Elasticsearch 8 and 9",
            )
        if error.status_code in PASSING:
            return ClusterUnwell(where, reason)
        if kind == "":
            return ClusterUnsuited(where, f"what answers there is not Elasticsearch ({error})")
        return ClusterUnwell(where, reason)

    def of_missing(self, why: Mapping[str, Any]) -> LookalikeError:
        """For an index that is not there: of pictures a reindex may have done away with it."""
        index = str(why.get("index", "")).removesuffix(".write")
        if re.fullmatch(r".*-pictures-\d+", index):
            return RecipeChanged()
        gone = f"its index {index} is gone; bring it back from a snapshot, or restore a backup"
        return ClusterUnwell(self._where, gone)

    def of_write(self, status: int, why: Mapping[str, Any]) -> LookalikeError:
        """For a document that is not taken."""
        kind, reason = why.get("type", ""), str(why.get("reason", why))
        where = self._where
        if kind == "index_not_found_exception":
            return self.of_missing(why)
        if "read-only-allow-delete" in reason or "flood-stage" in reason:
            return CannotStore(where, "a disk of the cluster is nearly full (flood stage)")
        if kind == "cluster_block_exception":
            return CannotStore(where, f"it is read-only ({reason})")
        if status == 403:
            return ClusterRefuses(where, reason)
        if kind == "strict_dynamic_mapping_exception":
            return RecipeChanged()
        return CannotStore(where, reason)


def kind_of(body: Any) -> str:
    """The kind of error that an answer tells of; nothing if it tells of none."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("type", "")) if isinstance(error, dict) else ""


def _reason(body: Any) -> str:
    """The innermost reason that Elasticsearch gives."""
    error = body.get("error") if isinstance(body, dict) else body
    while isinstance(error, dict):
        causes = error.get("root_cause") or error.get("failed_shards") or []
        inner = error.get("caused_by") or (causes[0] if causes else None)
        if isinstance(inner, dict) and "reason" in inner and inner is not error:
            error = inner
            continue
        if error.get("type") == "no_shard_available_action_exception":  # which says where it asked
            return "no node answers for one of its shards"
        return str(error.get("reason") or error.get("type") or error)
    return str(error)[:300]


def _tls_problem(error: elastic_transport.TlsError, *, pinned: bool) -> str:
    text = _all_that_is_said(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        return "it does not speak TLS: is it es+http:// ?"
    if pinned:
        return "its certificate has another fingerprint than the one given"
    return (
        "its certificate is not trusted; give the authority's by ?ca=FILE or LOOKALIKE_ES_CA, or "
        "the certificate's own SHA-256 by ?fingerprint= or LOOKALIKE_ES_FINGERPRINT"
    )


def _all_that_is_said(error: BaseException | None) -> str:
    """By an error, and by what has led to it."""
    texts = []
    while error is not None:
        texts.append(repr(error))
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def _connection_problem(error: elastic_transport.ConnectionError) -> str:
    text = _all_that_is_said(error)
    if "refused" in text:
        return "nothing listens there (connection refused)"
    if "resolve" in text or "Name or service" in text or "getaddrinfo" in text:
        return "there is no such host"
    if any(each in text for each in ("RemoteDisconnected", "ConnectionReset", "BadStatusLine")):
        return "it closed the connection: is it es+https:// ?"
    return str(error.message)
