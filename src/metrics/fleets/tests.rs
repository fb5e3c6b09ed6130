use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

#[test]
fn each_number_of_a_report_has_a_metric() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut publisher = MetricsPublisher::new();
    let fleets = [("near", false), ("far", true)];
    for (name, is_away) in fleets {
        let report = move || FleetReport::of(is_away, [2, 3, 4, 5, 6, 7, 8]);
        metrics::with_local_recorder(&recorder, || publisher.add_report(name.to_owned(), report)).unwrap();
    }
    publisher.publish();
    let page = recorder.handle().render();
    for (name, is_away) in fleets {
        for (metric, value) in [
            ("away", u64::from(is_away)),
            ("members", 2),
            ("outages_total", 3),
            ("calls_total", 4),
            ("failed_calls_total", 5),
            ("leased_permits_total", 6),
            ("given_back_permits_total", 7),
            ("unleased_permits_total", 8),
        ] {
            let line = format!("tidegate_fleet_{metric}{{fleet=\"{name}\"}} {value}\n");
            assert!(page.contains(&line), "no {line} in {page}");
        }
    }
}
