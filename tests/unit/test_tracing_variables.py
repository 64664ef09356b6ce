"""What of OpenTelemetry's own settings is wrong is one line that names it, before anything is begun with it."""

import pytest

from issuance import tracing
from issuance.errors import SettingsError
from issuance.log import Outage
from issuance.tracing import variables

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
WRONG = {
    ENDPOINT: ["collector:4318", "grpc://collector:4317", "http://:1", "http://collector:hunter2", " "],
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ["/v1/traces"],
    "OTEL_EXPORTER_OTLP_CERTIFICATE": ["/hunter2.pem"],
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": ["/hunter2.pem"],
    "OTEL_EXPORTER_OTLP_PROTOCOL": ["grpc"],
    "OTEL_EXPORTER_OTLP_TIMEOUT": ["hunter2", "0", "inf"],
    "OTEL_EXPORTER_OTLP_COMPRESSION": ["zstd"],
    "OTEL_BSP_SCHEDULE_DELAY": ["0", "hunter2"],
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": ["5000", "-1"],
    "OTEL_BSP_MAX_QUEUE_SIZE": ["0", "1.5"],
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ["hunter2", "-1"],
    "OTEL_TRACES_SAMPLER": ["hunter2"],
}
RIGHT = {
    ENDPOINT: "https://collector.example:4318/otlp",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": __file__,
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "GZIP",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5000",
    "OTEL_BSP_MAX_QUEUE_SIZE": "5000",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.1",
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_one_is_a_line_that_names_it_and_not_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where traces are wanted; where they are not, nobody looks."""
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    tracing.check()
    monkeypatch.delenv("OTEL_TRACES_EXPORTER")
    if name != ENDPOINT:
        monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4318")
    with pytest.raises(SettingsError, match=f"^{name} is wrong: ") as raised:
        tracing.check()
    assert "hunter2" not in raised.value.message


def test_a_share_is_asked_of_samplers_that_have_one() -> None:
    """Others never read it."""
    variables.check({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "7"})
    with pytest.raises(SettingsError, match="OTEL_TRACES_SAMPLER_ARG"):
        variables.check({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"})


def test_what_opentelemetry_takes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """And makes what sends traces."""
    for name, value in RIGHT.items():
        monkeypatch.setenv(name, value)
    tracing.check()


def test_what_opentelemetry_refuses_besides_is_a_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the settings that are given, and none of their values."""
    from issuance.tracing import exporting

    def refuses(*_: object, **__: object) -> None:
        raise ValueError("hunter2")

    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4318")
    monkeypatch.setattr(exporting, "BatchSpanProcessor", refuses)
    with pytest.raises(SettingsError, match=ENDPOINT) as raised:
        exporting.provider_for("web", Outage("collector"))
    assert "hunter2" not in raised.value.message
