"""All settings, read from the environment (INTERFACE 2). A missing or wrong one is one clear line."""

import os
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from issuance import addresses
from issuance.errors import SettingsError

#: A hundred years: what is kept for longer is kept for ever, and dates have an end.
_MOST_DAYS = 36_500


def _usual_web_processes() -> int:
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 4)


class OwnSettings(BaseModel):
    """What this process itself is told: where it keeps things, listens and logs. Every setting has a default."""

    # Of these and the settings that are more, only those are made that are read.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    home: Path = Field(Path(".issuance"), alias="ISSUANCE_HOME", description="The folder state lives in")
    host: str = Field("127.0.0.1", alias="ISSUANCE_HOST", description="The address the web process listens on")
    port: int = Field(8080, alias="ISSUANCE_PORT", ge=1, le=65535, description="The port it listens on")
    public_url: str | None = Field(
        None,
        alias="ISSUANCE_PUBLIC_URL",
        description="Where people and billers reach web, which links lead to: https://…",
    )
    web_processes: int = Field(
        default_factory=_usual_web_processes,
        alias="ISSUANCE_WEB_PROCESSES",
        ge=1,
        le=64,
        description="Web processes on that port; by default as many as there are cores, at most 4",
    )
    web_connections: int = Field(
        10,
        alias="ISSUANCE_WEB_CONNECTIONS",
        ge=4,
        le=100,
        description="Connections to PostgreSQL that one web process has at most",
    )
    worker_connections: int = Field(
        5,
        alias="ISSUANCE_WORKER_CONNECTIONS",
        ge=2,
        le=100,
        description="Connections to PostgreSQL that one worker process has at most",
    )
    trusted_proxies: str = Field(
        "", alias="ISSUANCE_TRUSTED_PROXIES", description="Addresses and networks whose X-Forwarded-For counts"
    )
    connections_a_source: int = Field(
        256, alias="ISSUANCE_CONNECTIONS_A_SOURCE", ge=1, description="Connections that one address may have open"
    )
    rate_an_address: int = Field(120_000, alias="ISSUANCE_RATE_ADDRESS", ge=0, description="Requests a minute")
    rate_a_key: int = Field(60_000, alias="ISSUANCE_RATE_KEY", ge=0, description="Requests a minute")
    rate_a_brand: int = Field(90_000, alias="ISSUANCE_RATE_BRAND", ge=0, description="Requests a minute")
    rate_wrong_keys: int = Field(1_000, alias="ISSUANCE_RATE_WRONG_KEYS", ge=0, description="A minute and address")
    rate_wrong_codes: int = Field(100, alias="ISSUANCE_RATE_WRONG_CODES", ge=0, description="A minute and caller")
    rate_sign_ins: int = Field(60, alias="ISSUANCE_RATE_SIGN_INS", ge=0, description="A minute and address")
    rate_files: int = Field(30, alias="ISSUANCE_RATE_FILES", ge=0, description="A minute and person of the console")
    rate_metrics: int = Field(300, alias="ISSUANCE_RATE_METRICS", ge=0, description="Of /metrics, a minute and address")
    bytes_a_brand: int = Field(
        20_000_000_000,
        alias="ISSUANCE_BYTES_A_BRAND",
        ge=0,
        description="Bytes that a brand may have kept, a day",
    )
    metrics_host: str | None = Field(
        None, alias="ISSUANCE_METRICS_HOST", description="The address that /metrics listens on, in place of the web's"
    )
    metrics_port: int = Field(9464, alias="ISSUANCE_METRICS_PORT", ge=1, le=65535, description="Its port there")
    metrics_key: SecretStr | None = Field(
        None, alias="ISSUANCE_METRICS_KEY", description="What /metrics asks for: Authorization: Bearer …"
    )
    local_webhooks: bool = Field(
        False, alias="ISSUANCE_LOCAL_WEBHOOKS", description="Sandbox brands may have webhooks on the machine itself"
    )
    log_format: Literal["console", "json"] = Field("console", alias="LOG_FORMAT", description="For people or machines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="LOG_LEVEL", description="Least level"
    )

    heart_file: Path | None = Field(
        None, alias="ISSUANCE_HEART_FILE", description="A file that scheduler and workers touch while they live"
    )

    sealing_key: SecretStr | None = Field(
        None,
        alias="ISSUANCE_SEALING_KEY",
        description="What secrets are encrypted with at rest; several with commas, the newest first",
    )
    sealing_key_file: Path | None = Field(
        None, alias="ISSUANCE_SEALING_KEY_FILE", description="A file that has it, a key a line"
    )
    stripe_api_base: str = Field(
        "https://api.stripe.com", alias="ISSUANCE_STRIPE_API_BASE", description="Where Stripe's API is asked"
    )

    oidc_issuer: str | None = Field(
        None,
        alias="ISSUANCE_OIDC_ISSUER",
        description="The identity provider of the console's people, as it names itself",
    )
    oidc_client_id: str | None = Field(None, alias="ISSUANCE_OIDC_CLIENT_ID", description="What it knows Issuance by")
    oidc_client_secret: SecretStr | None = Field(
        None, alias="ISSUANCE_OIDC_CLIENT_SECRET", description="The secret that it gave for that"
    )

    keep_answers_hours: int = Field(
        24,
        alias="ISSUANCE_KEEP_ANSWERS_HOURS",
        ge=1,
        le=24 * _MOST_DAYS,
        description="How long an Idempotency-Key gets the same answer",
    )
    keep_deliveries_days: int = Field(
        30,
        alias="ISSUANCE_KEEP_DELIVERIES_DAYS",
        ge=1,
        le=_MOST_DAYS,
        description="Days that finished deliveries, webhooks' and billers', can be looked at",
    )
    keep_plans_days: int = Field(
        90,
        alias="ISSUANCE_KEEP_PLANS_DAYS",
        ge=1,
        le=_MOST_DAYS,
        description="Days that a finished run's plan can be read and approved",
    )
    keep_refused_days: int = Field(
        365,
        alias="ISSUANCE_KEEP_REFUSED_DAYS",
        ge=1,
        le=_MOST_DAYS,
        description="Days that an event that was refused waits for somebody",
    )

    biller_silence_hours: int = Field(
        24,
        alias="ISSUANCE_BILLER_SILENCE_HOURS",
        ge=1,
        le=24 * _MOST_DAYS,
        description="A biller with active memberships that sends nothing for so long is told of by /metrics",
    )

    @property
    def proxies(self) -> list[str]:
        """The trusted proxies, each an address or a network."""
        return [one.strip() for one in self.trusted_proxies.split(",") if one.strip()]

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for one in value.split(","):
            if one.strip():
                try:
                    ip_network(one.strip())
                except ValueError:
                    raise ValueError("it must be addresses and networks with commas between them") from None
        return value

    @field_validator("public_url")
    @classmethod
    def _is_an_origin(cls, value: str | None) -> str | None:
        if value is None:
            return value
        scheme, _, host = value.removesuffix("/").partition("://")
        usual = {"https": ":443", "http": ":80"}.get(scheme)
        if usual is None or not addresses.HOST.fullmatch(host):
            raise ValueError("it must be an address without a path, such as https://credits.example")
        return f"{scheme}://{host.lower().removesuffix(usual)}"

    @field_validator("stripe_api_base")
    @classmethod
    def _is_of_the_web(cls, value: str) -> str:
        address = addresses.parts_of(value)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("it must be an address such as https://api.stripe.com")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str | None) -> str | None:
        if value is None:
            return value
        address = addresses.parts_of(value)
        local = address.scheme == "http" and address.hostname in ("localhost", "127.0.0.1", "::1")
        if not address.hostname or address.query or address.fragment or not (address.scheme == "https" or local):
            raise ValueError("it must be an https:// address (http:// on this machine only)")
        return value

    @model_validator(mode="after")
    def _issuer_and_client(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("ISSUANCE_OIDC_ISSUER and ISSUANCE_OIDC_CLIENT_ID go together")
        return self

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class DatabaseSettings(OwnSettings):
    """The settings of work on the database alone, such as an upgrade of its schema.

    Addresses of servers hold passwords and are never shown.
    """

    database_url: str = Field(alias="DATABASE_URL", repr=False, description="PostgreSQL 15 or newer: postgresql://…")
    database_direct_url: str | None = Field(
        None,
        alias="DATABASE_DIRECT_URL",
        repr=False,
        description="The same database past a pooler, for work on its schema; where there is none, DATABASE_URL",
    )

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _name_the_driver(cls, value: str | None) -> str | None:
        return None if value is None else addresses.of_database(value)

    @property
    def schema_url(self) -> str:
        """The address for work on the schema, which needs a session of its own."""
        return self.database_direct_url or self.database_url

    @property
    def libpq_url(self) -> str:
        """The database's address as libpq, psycopg and psql read it."""
        return addresses.libpq_url(self.database_url)


class Settings(DatabaseSettings):
    """The settings of a process that works: with all the servers it works on."""

    redis_url: str = Field(
        alias="REDIS_URL", repr=False, description="Redis or Valkey of its own: redis://…; or RabbitMQ"
    )

    @field_validator("redis_url")
    @classmethod
    def _know_the_scheme(cls, value: str) -> str:
        addresses.check_broker(value)
        return value


SomeSettings = TypeVar("SomeSettings", bound=OwnSettings)


def read(kind: type[SomeSettings]) -> SomeSettings:
    """The settings of `kind` as the environment has them now; what is empty is not set. SettingsError names every one
    that is wrong."""
    try:
        return kind.model_validate({name: value for name, value in os.environ.items() if value})
    except ValidationError as error:
        # Never the values: an address may hold a password.
        lines = [_line(str(e["loc"][0]) if e["loc"] else None, e["type"], e["msg"]) for e in error.errors()]
        raise SettingsError("; ".join(lines)) from None


def _line(name: str | None, kind: str, message: str) -> str:
    if name is None:  # of several settings together
        return message.removeprefix("Value error, ")
    if kind == "missing":
        return f"{name} is not set: set it to your server's address, or let issuance up (./run) start one"
    return f"{name} is wrong: {message.removeprefix('Value error, ').lower()}"


@lru_cache(maxsize=1)
def own() -> OwnSettings:
    """What this process itself was told, read once; for code that needs no servers."""
    return read(OwnSettings)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return read(Settings)
