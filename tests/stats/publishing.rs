//! What an exporter of the facade `metrics` shows.

use std::{future::Future, pin::pin, task::Context, task::Waker, time::Duration};

use metrics_exporter_prometheus::PrometheusBuilder;
use tidegate::{ManualClock, MetricsError, MetricsPublisher, Quota, RateLimiter};

/// The value of a line of the page.
fn value(page: &str, line: &str) -> u64 {
    let found = page.lines().find_map(|known| known.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in {page}")).parse().unwrap()
}

#[test]
fn an_exporter_shows_the_counters_levels_and_waits() {
    let recorder =
        PrometheusBuilder::new().set_buckets(&[0.5, 2.0, 10.0]).expect("three buckets").build_recorder();
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(4), clock.clone()).watched("api");
    let mut publisher = MetricsPublisher::new();
    metrics::with_local_recorder(&recorder, || publisher.add(&limiter)).unwrap();
    let mut page = || {
        publisher.publish();
        recorder.handle().render()
    };

    limiter.try_acquire_n(3).unwrap();
    assert_eq!(value(&page(), "tidegate_available_permits{limiter=\"api\"}"), 1);
    assert_eq!(value(&page(), "tidegate_permits_per_second{limiter=\"api\"}"), 1);

    limiter.try_acquire().unwrap();
    limiter.try_acquire().unwrap_err();
    let mut waiter = pin!(limiter.acquire());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiter.as_mut().poll(&mut cx).is_pending());
    let shown = page();
    assert_eq!(value(&shown, "tidegate_calls_total{limiter=\"api\",outcome=\"admitted\"}"), 2);
    assert_eq!(value(&shown, "tidegate_calls_total{limiter=\"api\",outcome=\"refused\"}"), 1);
    assert_eq!(value(&shown, "tidegate_calls_total{limiter=\"api\",outcome=\"waited\"}"), 1);
    assert_eq!(value(&shown, "tidegate_waiting{limiter=\"api\"}"), 1);

    clock.advance(Duration::from_secs(1));
    assert!(waiter.as_mut().poll(&mut cx).is_ready());
    // Published once, however often.
    for _ in 0..2 {
        let shown = page();
        assert_eq!(value(&shown, "tidegate_waits_total{limiter=\"api\",outcome=\"granted\"}"), 1);
        assert_eq!(value(&shown, "tidegate_wait_seconds_count{limiter=\"api\"}"), 1);
        assert_eq!(value(&shown, "tidegate_wait_seconds_bucket{limiter=\"api\",le=\"0.5\"}"), 0);
        assert_eq!(value(&shown, "tidegate_wait_seconds_bucket{limiter=\"api\",le=\"2\"}"), 1);
        assert_eq!(value(&shown, "tidegate_waiting{limiter=\"api\"}"), 0);
    }
}

#[test]
fn an_exporter_shows_the_rate_of_the_quota_in_force() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let limiter = RateLimiter::new(Quota::per_minute(90)).watched("api");
    let mut publisher = MetricsPublisher::new();
    metrics::with_local_recorder(&recorder, || publisher.add(&limiter)).unwrap();
    let mut shows = |rate: &str| {
        publisher.publish();
        let line = format!("tidegate_permits_per_second{{limiter=\"api\"}} {rate}\n");
        assert!(recorder.handle().render().contains(&line), "no {line}");
    };
    shows("1.5");
    for (quota, rate) in [(Quota::BLOCKED, "0"), (Quota::UNLIMITED, "inf"), (Quota::per_second(20), "20")] {
        limiter.set_quota(quota).unwrap();
        shows(rate);
    }
}

#[test]
fn a_limiter_is_published_only_if_it_is_watched_and_under_one_name_only() {
    let mut publisher = MetricsPublisher::new();
    let quota = Quota::per_second(1);
    assert_eq!(publisher.add(&RateLimiter::new(quota)), Err(MetricsError::NotWatched));
    assert_eq!(publisher.add(&RateLimiter::new(quota).watched("api")), Ok(()));
    let taken = publisher.add(&RateLimiter::new(quota).watched("api")).unwrap_err();
    assert_eq!(taken, MetricsError::NameTaken("api".into()));
    assert_eq!(taken.to_string(), "the name \"api\" is published already: give each its own name");
}

#[cfg(all(feature = "keyed", feature = "tower"))]
#[test]
fn tables_and_layers_are_published_too() {
    use tidegate::{
        Keyed,
        tower::{LimitLayer, Policy},
    };

    let recorder = PrometheusBuilder::new().build_recorder();
    let table = Keyed::<u32>::new(Quota::per_hour(1));
    let layer = LimitLayer::<String>::new()
        .policy(Policy::global("all", &RateLimiter::new(Quota::per_hour(1))))
        .skip(|_| true);
    let mut publisher = MetricsPublisher::new();
    metrics::with_local_recorder(&recorder, || {
        publisher.add_keyed("users", &table)?;
        publisher.add_layer("public", &layer)?;
        // The same name for another kind.
        publisher.add_layer("users", &layer)
    })
    .unwrap();
    table.try_acquire(&1).unwrap();
    table.try_acquire(&2).unwrap();

    let mut service = tower::Layer::layer(
        &layer,
        tower::service_fn(async |_: http_request::Request| {
            Ok::<_, std::convert::Infallible>(http_request::Response::new(String::new()))
        }),
    );
    let call = tower::Service::call(&mut service, http_request::Request::new(String::new()));
    assert!(pin!(call).poll(&mut Context::from_waker(Waker::noop())).is_ready());

    publisher.publish();
    let page = recorder.handle().render();
    #[cfg(feature = "client")]
    {
        let client = tidegate::client::ClientLayer::new(&RateLimiter::new(Quota::per_hour(1)));
        metrics::with_local_recorder(&recorder, || publisher.add_client("partner", &client)).unwrap();
        publisher.publish();
        let page = recorder.handle().render();
        let sent = "tidegate_client_requests_total{client=\"partner\",outcome=\"sent\"}";
        assert_eq!(value(&page, sent), 0);
    }
    assert_eq!(value(&page, "tidegate_keys{table=\"users\"}"), 2);
    assert_eq!(value(&page, "tidegate_evicted_live_total{table=\"users\"}"), 0);
    assert_eq!(value(&page, "tidegate_http_requests_total{layer=\"public\",outcome=\"skipped\"}"), 1);
    assert_eq!(value(&page, "tidegate_http_requests_total{layer=\"users\",outcome=\"admitted\"}"), 0);
}

#[cfg(all(feature = "keyed", feature = "tower"))]
mod http_request {
    pub(super) type Request = hyper::Request<String>;
    pub(super) type Response = hyper::Response<String>;
}
