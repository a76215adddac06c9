//! What the process says of itself: lines on standard error, as text or JSON, and with the feature `otel`
//! spans to a collector.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use crate::config::{Log, LogFormat};
use crate::exit::Usage;

/// Ends what was begun: spans that were not sent yet are.
pub(crate) struct Logging {
    #[cfg(feature = "otel")]
    spans: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Drop for Logging {
    fn drop(&mut self) {
        #[cfg(feature = "otel")]
        if let Some(spans) = self.spans.take()
            && let Err(error) = spans.shutdown()
        {
            tracing::warn!(%error, "some spans were not sent");
        }
    }
}

/// Begins to log. `-v` wins over `CAIRN_LOG`, and that over the settings. Within a runtime.
pub(crate) fn start(verbose: u8, log: &Log) -> Result<Logging, Usage> {
    let variable = std::env::var("CAIRN_LOG").ok().filter(|text| !text.is_empty());
    let (from, text) = match (verbose, &variable) {
        (0, Some(text)) => ("CAIRN_LOG", text.as_str()),
        (0, None) => ("the setting log.filter", log.filter.as_str()),
        (1, _) => ("-v", "info"),
        _ => ("-vv", "debug"),
    };
    let filter = EnvFilter::try_new(text)
        .map_err(|error| Usage(format!("{from}: {text:?} is no filter of the log: {error}")))?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(!plain && std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let registry = Registry::default().with(lines.with_filter(filter));
    #[cfg(feature = "otel")]
    {
        let spans = otel::provider()?;
        registry.with(spans.as_ref().map(otel::layer)).init();
        Ok(Logging { spans })
    }
    #[cfg(not(feature = "otel"))]
    {
        registry.init();
        Ok(Logging {})
    }
}

/// Spans by OTLP, to where the variables of OpenTelemetry's specification say.
#[cfg(feature = "otel")]
mod otel {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::Level;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::Targets;

    use crate::exit::Usage;

    const ENDPOINTS: [&str; 2] =
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

    /// Nothing, when no variable names a collector.
    pub(super) fn provider() -> Result<Option<SdkTracerProvider>, Usage> {
        if ENDPOINTS.iter().all(|name| std::env::var_os(name).is_none()) {
            return Ok(None);
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build();
        let exporter = exporter.map_err(|error| Usage(format!("no spans can be sent: {error}")))?;
        let resource = Resource::builder().with_service_name("cairn").build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(provider))
    }

    pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync,
    {
        // The program's own spans: those of what it sends them with would be without end.
        let ours = Targets::new().with_target("cairn", Level::INFO);
        let ours = ["http", "grpc", "node", "datasets", "blocks"]
            .into_iter()
            .fold(ours, |ours, name| ours.with_target(format!("cairn_{name}"), Level::INFO));
        tracing_opentelemetry::layer().with_tracer(provider.tracer("cairn")).with_filter(ours)
    }
}
