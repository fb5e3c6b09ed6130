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
use hyper::body::{Body, Bytes, Frame, SizeHint};
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
async fn each_frame_waits_for_its_bytes_and_trailers_pass() {
    let limiter = limiter(Quota::per_second(1_000).with_burst(100));
    let mut body = PacedBody::new(Frames::new(&[100, 250, 0, 30], true), &limiter).quantum(50);
    let start = Instant::now();
    let mut passed = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap();
        passed.push((start.elapsed().as_millis(), frame.data_ref().map(Bytes::len)));
        assert_eq!(frame.is_trailers(), frame.data_ref().is_none());
    }
    // In quanta of 50: the frame of 30 bytes waits for a whole one.
    assert_eq!(passed, [(0, Some(100)), (250, Some(250)), (250, Some(0)), (300, Some(30)), (300, None)]);
    // The rest of the last quantum went back at the end.
    assert_eq!(limiter.available(), 20);
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn hints_count_a_frame_that_waits() {
    let limiter = limiter(Quota::per_hour(100));
    limiter.try_acquire_n(70).unwrap();
    let mut body = pin!(PacedBody::new(Frames::new(&[20, 50], false), &limiter).quantum(10));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(70), false));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(body.as_mut().poll_frame(&mut cx).is_ready());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(50), false));
    // It holds the frame, which the body inside no longer counts.
    assert!(body.as_mut().poll_frame(&mut cx).is_pending());
    assert!(body.get_ref().is_end_stream());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(50), false));
    assert_eq!(limiter.available(), 0);
    limiter.refund(40).unwrap();
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
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
async fn what_was_granted_for_a_frame_that_did_not_pass_goes_back() {
    let limiter = limiter(Quota::per_hour(100));
    let mut body = Box::pin(PacedBody::new(Full::new(Bytes::from(vec![0; 130])), &limiter).quantum(40));
    assert!(body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(limiter.available(), 20);
    assert_eq!(limiter.waiting(), 1);
    drop(body);
    assert_eq!((limiter.available(), limiter.waiting()), (100, 0));
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
