//! HTTP bodies: frames that wait for their bytes, trailers, hints, errors.

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Buf, Bytes, Frame, SizeHint};
use hyper::http::{HeaderMap, header::ETAG};
use tidegate::{Denied, PacedBody, Quota};
use tokio::time::Instant;

use crate::{MB, assert_within_percent, limiter, passed};

/// A body of the frames that are left, which knows its size.
#[derive(Debug)]
struct Frames(VecDeque<Frame<Bytes>>);

impl Frames {
    fn new(sizes: &[usize], trailers: bool) -> Self {
        let data = sizes.iter().map(|&size| Frame::data(vec![1; size].into()));
        let end = trailers.then(|| Frame::trailers(HeaderMap::from_iter([(ETAG, "x".parse().unwrap())])));
        Self(data.chain(end).collect())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum())
    }
}

#[tokio::test(start_paused = true)]
async fn frames_are_cut_to_the_quantum_and_trailers_pass() {
    let limiter = limiter(Quota::per_second(1_000).with_burst(100));
    let mut body = PacedBody::new(Frames::new(&[100, 130, 0, 30], true), &limiter).quantum(50);
    let start = Instant::now();
    let mut passed = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap();
        passed.push((start.elapsed().as_millis(), frame.data_ref().map(Bytes::len)));
        assert_eq!(frame.is_trailers(), frame.data_ref().is_none());
    }
    let data = [(0, 50), (0, 50), (50, 50), (100, 50), (150, 30), (150, 0), (150, 20), (200, 10)];
    let data = data.map(|(ms, bytes)| (ms, Some(bytes)));
    assert_eq!(passed, [&data[..], &[(200, None)]].concat());
    // The rest of the last quantum went back at the end.
    assert_eq!(limiter.available(), 40);
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_body_of_one_frame_passes_by_the_rate() {
    let limiter = limiter(Quota::per_second(MB).with_burst(10_000));
    let content: Vec<_> = (0..2_010_000_u32).map(|i| (i % 251) as u8).collect();
    let mut body = PacedBody::new(Full::new(Bytes::from(content.clone())), &limiter);
    let (start, mut received) = (Instant::now(), Vec::new());
    while let Some(frame) = body.frame().await {
        received.extend(frame.unwrap().into_data().unwrap());
        let by_the_rate = 10_000 + MB * start.elapsed().as_millis() as u64 / 1_000;
        assert!(received.len() as u64 <= by_the_rate, "{} of {by_the_rate}", received.len());
        assert!(received.len() as u64 + 10_000 >= by_the_rate, "{} of {by_the_rate}", received.len());
    }
    assert!(received == content);
    // The last bytes wait for a whole quantum.
    assert!((2_000..=2_008).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn data_that_is_not_one_slice_is_passed_in_order() {
    let limiter = limiter(Quota::per_hour(1_000));
    let data = Bytes::from_static(b"high ").chain(&b"tide at noon"[..]);
    let passed = PacedBody::new(Full::new(data), &limiter).quantum(4).collect().await.unwrap();
    assert_eq!(passed.to_bytes(), "high tide at noon");
    assert_eq!(limiter.available(), 983);
}

#[tokio::test(start_paused = true)]
async fn hints_count_the_rest_of_a_frame() {
    let limiter = limiter(Quota::per_hour(100));
    limiter.try_acquire_n(60).unwrap();
    let mut body = pin!(PacedBody::new(Frames::new(&[20, 50], false), &limiter).quantum(20));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(70), false));
    let mut cx = Context::from_waker(Waker::noop());
    for left in [50, 30] {
        assert!(body.as_mut().poll_frame(&mut cx).is_ready());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(left), false));
    }
    // It holds the rest of the frame, which the body inside no longer counts.
    assert!(body.as_mut().poll_frame(&mut cx).is_pending());
    assert!(body.get_ref().is_end_stream());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(30), false));
    assert_eq!(limiter.available(), 0);
    limiter.refund(40).unwrap();
    for left in [10, 0] {
        poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(left), left == 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_an_upper_bound_stays_so() {
    let frames = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"tide")))]);
    let limiter = limiter(Quota::per_hour(1));
    limiter.try_acquire().unwrap();
    let mut body = pin!(PacedBody::new(StreamBody::new(frames), &limiter).quantum(1));
    assert!(body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (4, None));
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_and_did_not_pass_goes_back() {
    let limiter = limiter(Quota::per_hour(100));
    let mut body = Box::pin(PacedBody::new(Frames::new(&[30, 60], false), &limiter).quantum(40));
    let mut poll = || body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())).is_ready();
    assert_eq!([poll(), poll(), poll(), poll()], [true, true, true, false]);
    assert_eq!((limiter.available(), limiter.waiting()), (20, 1));
    drop(body);
    assert_eq!((limiter.available(), limiter.waiting()), (20, 0));

    let mut body = PacedBody::new(Frames::new(&[5], false), &limiter).quantum(20);
    body.frame().await.unwrap().unwrap();
    assert_eq!(limiter.available(), 0);
    drop(body);
    assert_eq!(limiter.available(), 15);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_body_and_of_the_limit() {
    fn io_error(error: &(dyn Error + Send + Sync + 'static)) -> Option<std::io::ErrorKind> {
        error.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
    }
    let limiter = limiter(Quota::per_hour(100));
    let fails = Err::<Frame<Bytes>, _>(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    let body = PacedBody::new(StreamBody::new(futures_util::stream::iter([fails])), &limiter);
    let error = body.collect().await.unwrap_err();
    assert_eq!(io_error(&*error), Some(std::io::ErrorKind::BrokenPipe));

    let none = PacedBody::new(Empty::<Bytes>::new(), &limiter);
    assert!(none.is_end_stream());
    limiter.close();
    assert!(none.collect().await.unwrap().to_bytes().is_empty());
    let error = PacedBody::new(Full::new(Bytes::from_static(b"x")), &limiter).collect().await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Denied::Closed));
}

#[tokio::test(start_paused = true)]
async fn bodies_share_by_byte_whatever_their_frames() {
    let limiter = limiter(Quota::per_second(2 * MB).with_burst(64 * 1024));
    let bytes = passed(10, &[100_000, 16_384, 4_000, 500], |frame, meter| {
        let zeros = Bytes::from(vec![0; frame]);
        let frames =
            futures_util::stream::repeat_with(move || Ok::<_, Infallible>(Frame::data(zeros.clone())));
        let mut body = PacedBody::new(StreamBody::new(frames), &limiter);
        async move {
            while let Some(Ok(frame)) = body.frame().await {
                meter.add(frame.data_ref().unwrap().len());
            }
        }
    })
    .await;
    for &bytes in &bytes {
        assert_within_percent(bytes, 5 * MB, 5);
    }
}
