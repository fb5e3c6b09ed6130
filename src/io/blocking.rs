//! Reads and writes of threads, by the traits of `std::io`.

use core::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};

use super::{
    Paced, Parts,
    allowance::{Allowance, Quantum, refused},
    part,
};
use crate::queue::block_on;

/// Blocks until bytes may pass, and returns how many; `usize::MAX` without a limit.
#[track_caller]
fn allowed(allowance: Option<&mut Allowance>, quantum: Quantum) -> io::Result<usize> {
    match allowance {
        None => Ok(usize::MAX),
        Some(allowance) if allowance.left() > 0 => Ok(allowance.left()),
        Some(allowance) => block_on(poll_fn(|cx| allowance.poll_some(quantum, cx))).map_err(refused),
    }
}

impl<T: Read> Read for Paced<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.io.read(buf);
        }
        let most = allowed(self.reads.as_mut(), self.quantum)?.min(buf.len());
        let read = self.io.read(&mut buf[..most])?;
        if let Some(reads) = &mut self.reads {
            if read == 0 {
                reads.give_back();
            } else {
                reads.spend(read);
            }
        }
        Ok(read)
    }
}

impl<T: Write> Write for Paced<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.io.write(buf);
        }
        let most = allowed(self.writes.as_mut(), self.quantum)?;
        let written = self.io.write(part(buf, most))?;
        if let Some(writes) = &mut self.writes {
            writes.spend(written);
        }
        Ok(written)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return self.io.write_vectored(bufs);
        }
        let most = allowed(self.writes.as_mut(), self.quantum)?;
        let written = match Parts::new(bufs, most) {
            Parts::Whole(bufs) => self.io.write_vectored(bufs)?,
            Parts::One(buf) => self.io.write(buf)?,
        };
        if let Some(writes) = &mut self.writes {
            writes.spend(written);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}
