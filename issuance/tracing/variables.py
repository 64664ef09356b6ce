"""OpenTelemetry's own settings, looked at before it reads them: it takes what is wrong as a traceback, or without a
word."""

from collections.abc import Callable, Mapping
from pathlib import Path

from issuance.addresses import parts_of
from issuance.errors import SettingsError

_OF_EXPORTER = ("OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_")
_OF_LIMITS = ("ATTRIBUTE_COUNT", "EVENT_COUNT", "LINK_COUNT", "ATTRIBUTE_VALUE_LENGTH")
_SAMPLER = "OTEL_TRACES_SAMPLER"
_SAMPLERS = {
    f"{parent}{name}" for parent in ("", "parentbased_") for name in ("always_on", "always_off", "traceidratio")
}
_QUEUE, _BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
#: A setting, whether a value is right, and what one must be.
_Rule = tuple[str, Callable[[str], bool], str]
#: What they are where nobody says otherwise.
_QUEUES_SIZE, _BATCHES_SIZE = 2048, 512


def check(given: Mapping[str, str]) -> None:
    """Raises SettingsError for the first one that is wrong, without its value. What is empty is not set."""
    rules = _rules()
    if given.get(_SAMPLER, "").endswith("traceidratio"):
        rules.append((f"{_SAMPLER}_ARG", _is_share, "it must be a number from 0 to 1"))
    for name, is_right, must in rules:
        if given.get(name) and not is_right(given[name]):
            raise SettingsError(f"{name} is wrong: {must}")
    if int(given.get(_BATCH) or _BATCHES_SIZE) > int(given.get(_QUEUE) or _QUEUES_SIZE):
        raise SettingsError(f"{_BATCH} is wrong: it must not be above {_QUEUE} ({_QUEUES_SIZE} if that is not set)")


def _rules() -> list[_Rule]:
    """All of them, where they are set."""
    counts = ("OTEL_BSP_SCHEDULE_DELAY", _QUEUE, _BATCH, "OTEL_BSP_EXPORT_TIMEOUT")
    limits = [f"OTEL_SPAN_{limit}_LIMIT" for limit in _OF_LIMITS]
    limits += ["OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"]
    limits += ["OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"]
    rules: list[_Rule] = [(_SAMPLER, _is_sampler, f"it must be one of {', '.join(sorted(_SAMPLERS))}")]
    rules += [(name, lambda said: _is_number(said, 1), "it must be a whole number, at least 1") for name in counts]
    rules += [(name, lambda said: _is_number(said, 0), "it must be a whole number, at least 0") for name in limits]
    for prefix in _OF_EXPORTER:
        rules += [
            (f"{prefix}PROTOCOL", lambda said: said == "http/protobuf", "traces are sent by http/protobuf alone"),
            (f"{prefix}ENDPOINT", _is_address, "it must be an http:// or https:// address"),
            (f"{prefix}TIMEOUT", _is_seconds, "it must be seconds, more than 0"),
            (f"{prefix}COMPRESSION", _is_compression, "it must be gzip, deflate or none"),
        ]
        files = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
        rules += [(f"{prefix}{file}", _is_file, "it must be a file that can be read") for file in files]
    return rules


def _is_number(said: str, least: int) -> bool:
    try:
        return int(said) >= least
    except ValueError:
        return False


def _is_sampler(said: str) -> bool:
    return said.lower() in _SAMPLERS


def _is_share(said: str) -> bool:
    try:
        return 0 <= float(said) <= 1
    except ValueError:
        return False


def _is_seconds(said: str) -> bool:
    try:
        return 0 < float(said) < float("inf")
    except ValueError:
        return False


def _is_compression(said: str) -> bool:
    return said.strip().lower() in ("gzip", "deflate", "none")


def _is_address(said: str) -> bool:
    try:
        address = parts_of(said)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)


def _is_file(said: str) -> bool:
    try:
        with Path(said).open("rb"):
            return True
    except OSError:
        return False
