//! Reads and writes of tasks, by tokio's traits.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Paced, Parts,
    allowance::{Allowance, Quantum, refused},
    part,
};

/// Waits for the bytes that may pass; `usize::MAX` without a limit.
fn poll_allowed(
    allowance: Option<&mut Allowance>,
    quantum: Quantum,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    match allowance {
        None => Poll::Ready(Ok(usize::MAX)),
        Some(allowance) => allowance.poll_some(quantum, cx).map_err(refused),
    }
}

impl<T: AsyncRead> AsyncRead for Paced<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let room = buf.remaining();
        if room == 0 {
            return this.io.poll_read(cx, buf);
        }
        let most = ready!(poll_allowed(this.reads.as_mut(), *this.quantum, cx))?;
        let before = buf.filled().len();
        if room <= most {
            ready!(this.io.poll_read(cx, buf))?;
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            ready!(this.io.poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
        }
        if let Some(reads) = this.reads {
            match buf.filled().len() - before {
                0 => reads.give_back(),
                read => reads.spend(read),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite> AsyncWrite for Paced<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        if buf.is_empty() {
            return this.io.poll_write(cx, buf);
        }
        let most = ready!(poll_allowed(this.writes.as_mut(), *this.quantum, cx))?;
        let written = ready!(this.io.poll_write(cx, part(buf, most)))?;
        if let Some(writes) = this.writes {
            writes.spend(written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        if bufs.iter().all(|buf| buf.is_empty()) {
            return this.io.poll_write_vectored(cx, bufs);
        }
        let most = ready!(poll_allowed(this.writes.as_mut(), *this.quantum, cx))?;
        let written = match Parts::new(bufs, most) {
            Parts::Whole(bufs) => ready!(this.io.poll_write_vectored(cx, bufs))?,
            Parts::One(buf) => ready!(this.io.poll_write(cx, buf))?,
        };
        if let Some(writes) = this.writes {
            writes.spend(written);
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        ready!(this.io.poll_shutdown(cx))?;
        if let Some(writes) = this.writes {
            writes.give_back();
        }
        Poll::Ready(Ok(()))
    }
}
