//! The counters as text, in OpenMetrics' form, which Prometheus reads.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Collected;
use super::{ALL, Counter, Counters, Health, LogHealth, LoginOutcome, Via, ViaCounters, total};
use crate::store::log::Durability;

/// Content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is counted, and how the node is.
///
/// # Errors
///
/// None that a caller could do anything about: text in memory cannot fail.
pub fn text(health: &Health) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("filegrid");
    registry.register_collector(Box::new(Snapshot::of(health)));
    let mut out = String::new();
    prometheus_client::encoding::text::encode(&mut out, &registry)?;
    Ok(out)
}

/// Name, help, unit, and where the value comes from.
struct Described<T>(&'static str, &'static str, Option<Unit>, fn(&T) -> u64);

/// Everything at one moment.
#[derive(Debug)]
struct Snapshot {
    durability: Durability,
    free_bytes: u64,
    is_ready: bool,
    is_low_on_space: bool,
    logs: Vec<(String, LogHealth)>,
}

impl Snapshot {
    fn of(health: &Health) -> Self {
        Self {
            durability: health.durability(),
            free_bytes: health.free_bytes(),
            is_ready: health.reasons().is_empty(),
            is_low_on_space: health.is_low_on_space(),
            logs: health
                .logs()
                .into_iter()
                .map(|(log, health)| (log.to_string(), health))
                .collect(),
        }
    }

    fn logs(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let gauges: [Described<LogHealth>; 3] = [
            Described(
                "log_unshipped",
                "Bytes that a log keeps for the metadata cluster",
                Some(Unit::Bytes),
                |log| log.unshipped_bytes,
            ),
            Described(
                "log_unshipped_changes",
                "Changes that the metadata cluster does not have",
                None,
                |log| log.unshipped_changes,
            ),
            Described(
                "log_lag_milliseconds",
                "For how long the metadata cluster has lacked some",
                None,
                |log| log.lag_ms,
            ),
        ];
        for Described(name, help, unit, of) in gauges {
            let mut metric = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for (log, health) in &self.logs {
                let labels = [("log", log.as_str())];
                gauge(of(health), metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn node(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mode = match self.durability {
            Durability::Commit => "commit",
            Durability::Relaxed => "relaxed",
        };
        for (name, help, label) in [
            (
                "build_info",
                "The version",
                ("version", env!("CARGO_PKG_VERSION")),
            ),
            (
                "durability_info",
                "What an answer of 200 means: commit survives a power cut, relaxed the end of the process",
                ("durability", mode),
            ),
        ] {
            let mut metric = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge(1, metric.encode_family(&[label])?)?;
        }
        for (name, help, unit, value) in [
            (
                "disk_free",
                "Free space of the disk",
                Some(Unit::Bytes),
                self.free_bytes,
            ),
            (
                "disk_low",
                "1 while uploads are refused for lack of space",
                None,
                u64::from(self.is_low_on_space),
            ),
            ("ready", "1 while /readyz says so", None, u64::from(self.is_ready)),
        ] {
            gauge(
                value,
                to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?,
            )?;
        }
        Ok(())
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        by_protocol(&mut to)?;
        by_outcome(&mut to)?;
        totals(&mut to)?;
        log_writes(&mut to)?;
        self.logs(&mut to)?;
        self.node(&mut to)
    }
}

/// One number for each way in.
fn by_protocol(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counters: [Described<ViaCounters>; 5] = [
        Described("connections", "Connections that came", None, |via| {
            via.opened.get()
        }),
        Described(
            "payload_received",
            "Bytes of files received",
            Some(Unit::Bytes),
            |via| via.received.get(),
        ),
        Described("payload_sent", "Bytes of files sent", Some(Unit::Bytes), |via| {
            via.sent.get()
        }),
        Described("changes", "Changes acknowledged", None, |via| via.changes.get()),
        Described(
            "relayed_requests",
            "Requests and sessions passed on to the node that has the files",
            None,
            |via| via.relayed.get(),
        ),
    ];
    for Described(name, help, unit, of) in counters {
        let mut metric = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (via, label) in Via::ALL {
            let value = total(|counters| of(counters.via(via)));
            count(value, metric.encode_family(&[("protocol", label)])?)?;
        }
    }
    let help = "Connections that are open, by the listener that they came to";
    let mut metric = to.encode_descriptor("connections_open", help, None, MetricType::Gauge)?;
    for (via, label) in Via::ALL {
        // A connection may end on another thread than it began on.
        let opened = total(|counters| counters.via(via).opened.get());
        let closed = total(|counters| counters.via(via).closed.get());
        gauge(
            opened.saturating_sub(closed),
            metric.encode_family(&[("protocol", label)])?,
        )?;
    }
    Ok(())
}

/// Answers by their class, logins by what has become of them.
fn by_outcome(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Answers to requests and commands, by the first digit of their code";
    let mut metric = to.encode_descriptor("answers", help, None, MetricType::Counter)?;
    for (via, protocol) in Via::ALL {
        for (at, class) in ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"]
            .into_iter()
            .enumerate()
            .skip(1)
        {
            let value = total(|counters| counters.via(via).answers.get(at).map_or(0, Counter::get));
            let labels = [("protocol", protocol), ("class", class)];
            count(value, metric.encode_family(&labels)?)?;
        }
    }
    let help = "Logins; blocked are those refused unseen after too many failures";
    let mut metric = to.encode_descriptor("logins", help, None, MetricType::Counter)?;
    for (via, protocol) in Via::ALL {
        for (at, (_, outcome)) in LoginOutcome::ALL.into_iter().enumerate() {
            let value = total(|counters| counters.via(via).logins.get(at).map_or(0, Counter::get));
            let labels = [("protocol", protocol), ("outcome", outcome)];
            count(value, metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn totals(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counters: [Described<Counters>; 6] = [
        Described(
            "payload_copied",
            "Bytes of files copied on their way to the disk",
            Some(Unit::Bytes),
            |all| all.payload_copied.get(),
        ),
        Described(
            "scrubbed",
            "Bytes of large files that the scrub has read",
            Some(Unit::Bytes),
            |all| all.scrubbed.get(),
        ),
        Described(
            "blobs_damaged",
            "Large files that did not match their checksums",
            None,
            |all| all.blobs_damaged.get(),
        ),
        Described("tls_handshakes", "TLS handshakes that succeeded", None, |all| {
            all.handshakes.get()
        }),
        Described(
            "tls_handshakes_failed",
            "TLS handshakes that did not",
            None,
            |all| all.handshakes_failed.get(),
        ),
        Described(
            "log_written",
            "Bytes written to the logs",
            Some(Unit::Bytes),
            |all| all.log_bytes.get(),
        ),
    ];
    for Described(name, help, unit, of) in counters {
        count(
            total(of),
            to.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?,
        )?;
    }
    Ok(())
}

fn log_writes(to: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut all = Collected::default();
    for counters in ALL
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .iter()
    {
        counters.log_writes.collect(&mut all);
    }
    let help = "Writes of the logs, each durable when it is done unless durability is relaxed";
    let mut metric = to.encode_descriptor("log_write", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(all.seconds(), all.count(), &all.buckets(), None)
}

fn count(value: u64, to: MetricEncoder<'_>) -> fmt::Result {
    ConstCounter::new(value).encode(to)
}

fn gauge(value: u64, to: MetricEncoder<'_>) -> fmt::Result {
    ConstGauge::new(value).encode(to)
}
