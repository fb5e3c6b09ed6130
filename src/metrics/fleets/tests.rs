use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

#[test]
fn each_number_of_a_report_has_a_metric() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut publisher = MetricsPublisher::new();
    let mut away = [false, true].into_iter().cycle();
    let report = move || FleetReport::of(away.next().unwrap(), [2, 3, 4, 5, 6, 7, 8]);
    let report = std::sync::Mutex::new(report);
    let report = move || report.lock().unwrap()();
    metrics::with_local_recorder(&recorder, || publisher.add_report("api".to_owned(), report)).unwrap();
    for away in [0, 1] {
        publisher.publish();
        let page = recorder.handle().render();
        for (metric, value) in [
            ("away", away),
            ("members", 2),
            ("outages_total", 3),
            ("calls_total", 4),
            ("failed_calls_total", 5),
            ("leased_permits_total", 6),
            ("given_back_permits_total", 7),
            ("unleased_permits_total", 8),
        ] {
            let line = format!("tidegate_fleet_{metric}{{fleet=\"api\"}} {value}\n");
            assert!(page.contains(&line), "no {line} in {page}");
        }
    }
}
