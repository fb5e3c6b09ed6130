//! What has to say which slot a call uses, or to look at the capacity.

mod schedules;
mod shares;
