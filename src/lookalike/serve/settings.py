"""What the service can be told: by option, by environment variable, or in `.env`.

An option of `lookalike serve` wins over the variable `LOOKALIKE_…` of the environment, which wins
over the same in the file `.env` of the working folder. docs/serving.md has the table of them all.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ..errors import BadSetting
from ..types import Limits

PREFIX = "LOOKALIKE_"
_USUAL = Limits()
_MEGA = 1_000_000


def _several(given: Any) -> Any:
    """Of a variable: values with commas between them, or a JSON list where one has a comma."""
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):
        return json.loads(given)
    return [each.strip() for each in given.split(",") if each.strip()]


_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_several)]
_Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_several)]


class Settings(BaseSettings):
    """The settings of `lookalike serve`, each an option and a variable of the same name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        dotenv_filtering="match_prefix",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    collection: Path | None = Field(
        None, description="The collection that is served, a folder; by default one of your own."
    )
    collections: Path | None = Field(
        None, description="A folder of collections: all in it are served, and clients make others."
    )
    data: str | None = Field(None, description="A folder to index first; it becomes a root.")
    host: str = Field("127.0.0.1", description="The address to listen at.")
    port: int = Field(8000, ge=0, le=65_535, description="The port; 0 takes a free one.")
    root: _Folders = Field((), description="Folders in which clients may have pictures indexed.")
    compat: bool = Field(
        False, description="Also answer the calls of the services that lookalike replaces."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    max_megapixels: int = Field(
        _USUAL.pixels // _MEGA, ge=1, le=1000, description="The largest picture to decode."
    )
    max_upload_mb: int = Field(
        _USUAL.upload_bytes // _MEGA, ge=1, le=500, description="The largest picture that is sent."
    )
    k: int | None = Field(
        None,
        ge=2,
        le=100_000,
        description="Index `data` with so many visual words and LSH tables (recipe sift-bovw-lsh), "
        "and answer as the service of lshash did.",
    )
    hash_size: int | None = Field(None, ge=1, le=62, description="Bits of a key, with `k`.")
    num_hashtables: int | None = Field(
        None, ge=1, le=1_000, description="Tables of keys, with `k`."
    )
    store_file: Path | None = Field(
        None, description="The .npz that keeps the planes as lshash writes it, with `k`."
    )
    overwrite: bool | None = Field(
        None, description="Whether planes are drawn anew though `store_file` is there, with `k`."
    )
    allow_host: _Names = Field(
        (), description="Further names that it answers to, without ports, such as nas.example."
    )
    allow_origin: _Names = Field(
        (), description="Other sites whose pages may use it, such as https://app.example (CORS)."
    )
    trust_proxy: _Names = Field(
        (),
        description="Addresses of reverse proxies whose X-Forwarded-For and -Proto are believed.",
    )
    api_key: SecretStr | None = Field(
        None, description="A key that may do everything; 16 or more characters."
    )
    api_key_file: Path | None = Field(
        None, description="The file of keys that `lookalike keys` writes."
    )
    no_auth: bool = Field(
        False, description="Answer without a key also to other machines than this one."
    )
    rate: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="Searches and uploads a second of one key, or one address without a key; "
        "what computes nothing counts a tenth. 0: any number. By default 50, and any number "
        "on loopback.",
    )
    at_once: int = Field(
        32, ge=1, le=10_000, description="Searches and uploads at once; a further one gets 503."
    )
    upload_seconds: int = Field(
        60, ge=1, le=86_400, description="How long the body of one request may take to arrive."
    )
    fetch_urls: bool = Field(
        False, description="Fetch pictures from addresses that clients name (http and https)."
    )
    shutdown_seconds: float = Field(
        8.0,
        ge=0,
        le=3600,
        description="How long what runs may take to end, once the service is told to.",
    )
    log: Literal["auto", "json", "text"] = Field(
        "auto", description="How it logs: json lines, plain text, or auto: text on a terminal."
    )

    @classmethod
    def read(cls, **given: Any) -> Self:
        """With what was `given` on the command line, None for nothing. Raises `BadSetting`."""
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise BadSetting([_problem(each) for each in error.errors()]) from None
        except ValueError as error:  # a file .env that is not UTF-8
            raise BadSetting([f".env: {error}"]) from None

    @property
    def limits(self) -> Limits:
        """What a picture may cost."""
        return Limits(pixels=self.max_megapixels * _MEGA, upload_bytes=self.max_upload_mb * _MEGA)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def asks_for_keys(self) -> bool:
        """Whether nobody is answered without a key."""
        return self.api_key is not None or self.api_key_file is not None

    @model_validator(mode="after")
    def _all_of_lshash(self) -> Self:
        others = ("hash_size", "num_hashtables", "store_file", "overwrite")
        for name in others:
            if self.k is None and getattr(self, name) is not None:
                raise ValueError(f"{name} goes with k, the number of visual words")
        if self.k is not None and self.data is None:
            raise ValueError("k goes with data, the folder of pictures")
        return self

    @model_validator(mode="after")
    def _one_way_or_the_other(self) -> Self:
        if self.no_auth and self.asks_for_keys:
            raise ValueError("--no-auth, and a key that would be asked for: leave one of them away")
        if self.api_key is not None and len(self.api_key.get_secret_value()) < 16:
            raise ValueError(
                "--api-key has fewer than 16 characters: `openssl rand -hex 32` makes one"
            )
        if "*" in self.allow_origin:
            raise ValueError("--allow-origin takes the names of sites, not *")
        return self


def _problem(error: Any) -> str:
    """What is wrong with one setting, by the names that a user knows it by."""
    said: str = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return said
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{PREFIX}{name.upper()} is no setting; docs/serving.md lists them"
    return f"--{name.replace('_', '-')} or {PREFIX}{name.upper()}: {said}"
