//! What passes through unchanged, and what a limit refuses.

use std::{
    error::Error,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tidegate::{AllOf, Denied, Paced, PerCore, Quota, RateLimiter, TokioClock};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, duplex, empty, repeat, split},
    time::Instant,
};

use crate::{MB, limiter};

fn hourly(permits: u64) -> RateLimiter<TokioClock> {
    limiter(Quota::per_hour(permits))
}

fn denied(error: &io::Error) -> Option<&Denied> {
    error.get_ref()?.downcast_ref()
}

/// A stream that fails, and notes the calls.
#[derive(Debug, Default)]
struct Noting {
    calls: Vec<String>,
    fails: bool,
}

impl Noting {
    fn note(&mut self, call: impl Into<String>) -> io::Result<()> {
        self.calls.push(call.into());
        if self.fails { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.note(format!("read {}", buf.remaining()))?;
        // Half of what was asked for.
        let read = buf.remaining() / 2;
        buf.initialize_unfilled_to(read).fill(5);
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noting {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.note(format!("write {}", buf.len()))?;
        Poll::Ready(Ok(buf.len() / 2))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let lengths: Vec<_> = bufs.iter().map(|buf| buf.len()).collect();
        self.note(format!("write {lengths:?}"))?;
        Poll::Ready(Ok(lengths.iter().sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.note("flush"))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.note("shutdown"))
    }
}

#[tokio::test(start_paused = true)]
async fn only_bytes_that_passed_are_debited() {
    let limiter = hourly(10_000);
    let mut stream = Paced::new(Noting::default(), &limiter).quantum(1_000);
    assert_eq!(stream.read(&mut [0; 5_000]).await.unwrap(), 500);
    assert_eq!(stream.read(&mut [0; 100]).await.unwrap(), 50);
    assert_eq!(stream.write(&[0; 600]).await.unwrap(), 300);
    assert_eq!(stream.write(&[0; 1_600]).await.unwrap(), 350);
    assert_eq!(stream.get_ref().calls, ["read 1000", "read 100", "write 600", "write 700"]);
    drop(stream);
    assert_eq!(limiter.available(), 10_000 - 550 - 650);
}

#[tokio::test(start_paused = true)]
async fn a_read_fills_only_its_part_of_the_buffer() {
    let mut stream = Paced::new(Noting::default(), &hourly(100)).quantum(20);
    let mut buf = [1; 30];
    assert_eq!(stream.read(&mut buf).await.unwrap(), 10);
    assert_eq!(buf[..10], [5; 10]);
    // A vector grows by what was read, and by nothing else.
    let mut grown = Vec::with_capacity(64);
    assert_eq!(stream.read_buf(&mut grown).await.unwrap(), 5);
    assert_eq!(grown, [5; 5]);
}

#[tokio::test(start_paused = true)]
async fn calls_without_bytes_pass_at_once_and_take_nothing() {
    let limiter = hourly(1_000);
    limiter.try_acquire_n(1_000).unwrap();
    let mut stream = Paced::new(Noting::default(), &limiter);
    assert_eq!(stream.read(&mut []).await.unwrap(), 0);
    assert_eq!(stream.write(&[]).await.unwrap(), 0);
    assert_eq!(stream.write_vectored(&[IoSlice::new(&[])]).await.unwrap(), 0);
    stream.flush().await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.get_ref().calls, ["read 0", "write 0", "write [0]", "flush", "shutdown"]);
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn errors_pass_and_take_nothing() {
    let limiter = hourly(10_000);
    let mut stream = Paced::new(Noting { fails: true, ..Noting::default() }, &limiter);
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(stream.get_mut().calls.pop().as_deref(), Some("read 9"));
    drop(stream);
    let mut stream = Paced::new(Noting { fails: true, ..Noting::default() }, &limiter);
    assert_eq!(stream.write(&[0; 9]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(stream.flush().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(stream.shutdown().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(stream);
    assert_eq!(limiter.available(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn lists_of_buffers_are_cut_to_the_quantum() {
    let limiter = hourly(10_000);
    let mut stream = Paced::new(Noting::default(), &limiter).quantum(100);
    assert!(stream.is_write_vectored());
    let [none, small, large] = [0, 40, 150].map(|len| vec![0; len]);
    let all = [&none, &small, &small, &large].map(|buf| IoSlice::new(buf));
    assert_eq!(stream.write_vectored(&all).await.unwrap(), 80);
    // Of the first buffer that does not fit, the part that does.
    let all = [&none, &large].map(|buf| IoSlice::new(buf));
    assert_eq!(stream.write_vectored(&all).await.unwrap(), 10);
    assert_eq!(stream.get_ref().calls, ["write [0, 40, 40]", "write 20"]);
    drop(stream);
    assert_eq!(limiter.available(), 10_000 - 90);
}

#[tokio::test(start_paused = true)]
async fn the_rest_goes_back_at_the_end_of_reads_and_of_writes() {
    let limiter = hourly(10_000);
    let mut reads = Paced::new(&b"0123456789"[..], &limiter).quantum(1_000);
    let mut text = Vec::new();
    assert_eq!(reads.read_to_end(&mut text).await.unwrap(), 10);
    assert_eq!(limiter.available(), 9_990);
    let mut writes = Paced::new(Vec::new(), &limiter).quantum(1_000);
    writes.write_all(&text).await.unwrap();
    assert_eq!(limiter.available(), 8_990);
    writes.shutdown().await.unwrap();
    assert_eq!(limiter.available(), 9_980);
    assert_eq!(Paced::new(empty(), &limiter).read(&mut [0]).await.unwrap(), 0);
    assert_eq!(limiter.available(), 9_980);
}

#[tokio::test(start_paused = true)]
async fn each_direction_has_its_limit() {
    let (down, up) = (hourly(1_000), hourly(1_000));
    let mut only_reads = Paced::unlimited(Vec::new()).read_limit(&down).quantum(10);
    only_reads.write_all(&[0; 60]).await.unwrap();
    assert_eq!(down.available(), 1_000);

    let (near, mut far) = duplex(64);
    let mut both = Paced::new(near, &down).write_limit(&up).quantum(10);
    both.write_all(b"abc").await.unwrap();
    far.write_all(b"12345").await.unwrap();
    assert_eq!(both.read(&mut [0; 64]).await.unwrap(), 5);
    drop(both);
    assert_eq!((down.available(), up.available()), (995, 997));

    let mut neither = Paced::unlimited(Vec::new());
    neither.write_all(&vec![0; 100_000]).await.unwrap();
    assert_eq!(neither.into_inner().len(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn halves_of_a_stream_wait_side_by_side() {
    let limiter = limiter(Quota::per_second(MB).with_burst(8_192));
    let (near, far) = duplex(1 << 20);
    let start = Instant::now();
    let echo = tokio::spawn(async move {
        let (mut reads, mut writes) = split(far);
        copy(&mut reads, &mut writes).await
    });
    let (mut reads, mut writes) = split(Paced::new(near, &limiter));
    let data: Vec<_> = (0..500_000_u32).map(|i| (i % 251) as u8).collect();
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        writes.write_all(&sent).await.unwrap();
        writes.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    assert_eq!(copy(&mut reads, &mut received).await.unwrap(), 500_000);
    writer.await.unwrap();
    assert_eq!(echo.await.unwrap().unwrap(), 500_000);
    assert!(received == data);
    // What is written and what is read count together.
    let took = start.elapsed().as_millis();
    assert!((980..=1_010).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn a_closed_limiter_is_an_error_of_the_stream() {
    let limiter = hourly(1_000);
    let mut stream = Paced::new(repeat(1), &limiter).quantum(600);
    assert_eq!(stream.read(&mut [0; 600]).await.unwrap(), 600);
    let closes = limiter.clone();
    let reads = async { stream.read(&mut [0]).await.unwrap_err() };
    let (error, ()) = tokio::join!(reads, async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        closes.close();
    });
    assert_eq!(denied(&error), Some(&Denied::Closed));
    assert_eq!(error.to_string(), Denied::Closed.to_string());
    assert!(error.source().is_none(), "the Denied is the error itself");
    // Again, and for writes.
    assert_eq!(denied(&stream.read(&mut [0]).await.unwrap_err()), Some(&Denied::Closed));
    let mut writes = Paced::new(Vec::new(), &limiter);
    assert_eq!(denied(&writes.write(b"x").await.unwrap_err()), Some(&Denied::Closed));
    assert!(writes.get_ref().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_grants_less_than_a_quantum() {
    // The whole burst, then by the rate.
    let small = limiter(Quota::per_second(1_000).with_burst(50));
    let start = Instant::now();
    Paced::new(Vec::new(), &small).quantum(8_192).write_all(&[0; 550]).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 500);

    // Three permits for a byte.
    let start = Instant::now();
    let other = limiter(Quota::per_second(1_000).with_burst(50));
    let thrice = AllOf::new().and(&other, 3).and(&limiter(Quota::per_second(MB)), 1);
    Paced::new(Vec::new(), &thrice).quantum(8_192).write_all(&[0; 160]).await.unwrap();
    let took = start.elapsed().as_millis();
    assert!((430..=480).contains(&took), "{took} ms");

    // More for a byte than can ever be granted.
    let error = Paced::new(Vec::new(), &AllOf::new().and(&small, 51)).write(b"x").await.unwrap_err();
    let Some(Denied::TooMany(too_many)) = denied(&error) else { panic!("{error}") };
    assert_eq!((too_many.requested().whole(), too_many.largest()), (51, 50));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_several_and_a_part_of_a_burst() {
    // An eighth of the burst is set aside.
    let shared = limiter(Quota::per_second(1_000).with_burst(80));
    let per_core = PerCore::new(&shared);
    let other = limiter(Quota::per_second(1_000).with_burst(30));
    let start = Instant::now();
    Paced::new(Vec::new(), &per_core).quantum(8_192).write_all(&[0; 560]).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 490);
    Paced::new(Vec::new(), &AllOf::new().and(&per_core, 1).and(&other, 1))
        .quantum(8_192)
        .write_all(&[0; 300])
        .await
        .unwrap();
    let took = start.elapsed().as_millis();
    assert!((770..=830).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn a_quantum_beyond_64_bits_is_what_the_limit_can_grant() {
    // Halved until it fits: more than a quarter of the burst, at two permits for a byte.
    let twice = AllOf::new().and(&hourly(1_000), 2);
    let written = Paced::new(Vec::new(), &twice).quantum(usize::MAX).write(&[0; 2_000]).await.unwrap();
    assert!((251..=500).contains(&written), "{written}");
    // With one permit for a byte it is the whole burst.
    let limiter = hourly(1_000);
    assert_eq!(Paced::new(Vec::new(), &limiter).quantum(usize::MAX).write(&[0; 2_000]).await.unwrap(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_holds_permits_outlives_its_limit() {
    let limiter = hourly(1_000);
    let mut stream = Paced::new(Vec::new(), &limiter).quantum(100);
    stream.write_all(&[0; 30]).await.unwrap();
    limiter.close();
    // What is held was granted before.
    stream.write_all(&[0; 70]).await.unwrap();
    assert_eq!(denied(&stream.write(b"x").await.unwrap_err()), Some(&Denied::Closed));

    let limiter = hourly(1_000);
    let mut stream = Paced::new(Vec::new(), &limiter).quantum(100);
    stream.write_all(&[0; 30]).await.unwrap();
    limiter.close();
    drop(stream.into_inner());
}

#[tokio::test]
#[should_panic(expected = "Cannot block the current thread")]
async fn a_task_must_not_block() {
    let limiter = RateLimiter::new(Quota::per_hour(10));
    drop(std::io::Read::read(&mut Paced::new(std::io::empty(), &limiter).quantum(1), &mut [0]));
}

#[test]
fn a_stream_is_as_free_as_the_one_inside() {
    fn check<T: Send + Sync + Unpin + 'static>() {}
    check::<Paced<tokio::net::TcpStream>>();
}

#[test]
#[should_panic(expected = "a quantum of zero bytes would let nothing pass: write 1 or more")]
fn a_quantum_of_zero() {
    drop(Paced::new(empty(), &hourly(1)).quantum(0));
}
